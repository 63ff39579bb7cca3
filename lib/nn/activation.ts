/** Modules without parameters: activations, dropout, flattening. */
import type { Tensor } from "../autograd/tensor.ts";
import { ShapeError } from "../native/errors.ts";
import { dropout } from "../ops/dropout.ts";
import { gelu, leakyRelu, relu, sigmoid, silu, softplus, tanh } from "../ops/elementwise.ts";
import { reshape } from "../ops/shape.ts";
import { checkNumber, checkTensor } from "../ops/support.ts";
import type { Chain } from "./chain.ts";
import { joins, keepsNothing, Module } from "./module.ts";
import { checkModuleOptions, type ModuleOptions } from "./options.ts";

/** A module without parameters. It takes the options that all modules take, and needs none. */
export abstract class Stateless extends Module {
  constructor(options: ModuleOptions = {}) {
    super();
    checkModuleOptions(this.constructor.name, options);
  }
}

/** max(x, 0). */
export class ReLU extends Stateless {
  static readonly [keepsNothing] = true;

  override forward(x: Tensor): Tensor {
    return relu(x);
  }

  override [joins](chain: Chain): boolean {
    return chain.relu();
  }
}

/** The hyperbolic tangent. */
export class Tanh extends Stateless {
  static readonly [keepsNothing] = true;

  override forward(x: Tensor): Tensor {
    return tanh(x);
  }
}

/** 1 / (1 + exp(-x)). */
export class Sigmoid extends Stateless {
  static readonly [keepsNothing] = true;

  override forward(x: Tensor): Tensor {
    return sigmoid(x);
  }
}

/** x · Φ(x), Φ the normal distribution (Hendrycks and Gimpel, 2016): exact, not the approximation by tanh. */
export class GELU extends Stateless {
  static readonly [keepsNothing] = true;

  override forward(x: Tensor): Tensor {
    return gelu(x);
  }
}

/** x · sigmoid(x), also called swish. */
export class SiLU extends Stateless {
  static readonly [keepsNothing] = true;

  override forward(x: Tensor): Tensor {
    return silu(x);
  }
}

/** log(1 + exp(x)). */
export class Softplus extends Stateless {
  static readonly [keepsNothing] = true;

  override forward(x: Tensor): Tensor {
    return softplus(x);
  }
}

/** x where it is positive, else x times `slope` (default 0.01). */
export class LeakyReLU extends Module {
  static readonly [keepsNothing] = true;

  private readonly slope: number;

  constructor(slope = 0.01, options: ModuleOptions = {}) {
    super();
    this.slope = slope;
    checkModuleOptions("LeakyReLU", options);
    checkNumber("LeakyReLU", "slope", slope);
  }

  override forward(x: Tensor): Tensor {
    return leakyRelu(x, this.slope);
  }
}

/** Zeroes elements with probability p (default 0.5) and scales the others by 1 / (1 - p), in training only. */
export class Dropout extends Module {
  static readonly [keepsNothing] = true;

  private readonly p: number;

  constructor(p = 0.5, options: ModuleOptions = {}) {
    super();
    this.p = p;
    checkModuleOptions("Dropout", options);
    checkNumber("Dropout", "p", p, 0, 1);
  }

  override forward(x: Tensor): Tensor {
    return this.training ? dropout(x, this.p) : x;
  }

  override [joins](_chain: Chain): boolean {
    return !this.training;
  }
}

/** (N, …) to (N, product of the others). */
export class Flatten extends Stateless {
  static readonly [keepsNothing] = true;

  override forward(x: Tensor): Tensor {
    checkTensor("Flatten", x, "the input");
    const [rows, ...rest] = x.shape;
    if (rows === undefined) throw new ShapeError("Flatten", "takes at least one axis", { shapes: [x.shape] });
    return reshape(x, [rows, rest.reduce((a, b) => a * b, 1)]);
  }

  override [joins](chain: Chain): boolean {
    return chain.flatten();
  }
}
