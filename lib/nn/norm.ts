import type { Tensor } from "../autograd/tensor.ts";
import * as init from "../init/index.ts";
import { ShapeError } from "../native/errors.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { batchNorm, layerNorm } from "../ops/norm.ts";
import { checkFloat, checkNumber } from "../ops/support.ts";
import type { Chain } from "./chain.ts";
import {
  checkModuleOptions,
  checkSize,
  type InPyTorch,
  inPyTorch,
  joins,
  keepsNothing,
  Module,
  type ModuleOptions,
} from "./module.ts";
import { Buffer, type Parameter, parameter } from "./parameter.ts";
import { checkImages, onPixels } from "./pixels.ts";

export interface BatchNormModuleOptions extends ModuleOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number | undefined;
  /** How far the running statistics move towards each batch's. Default 0.1. */
  momentum?: number | undefined;
  /** Apply ReLU in the same pass. Default false. */
  relu?: boolean | undefined;
}

/** Batch normalisation (Ioffe and Szegedy, 2015) with running statistics for inference, as PyTorch's. */
abstract class BatchNorm extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  /** Buffers (features). The variance is the unbiased one. */
  readonly runningMean: Tensor;
  readonly runningVar: Tensor;
  readonly eps: number;
  readonly momentum: number;
  /** Whether ReLU follows, in the same pass. */
  readonly relu: boolean;

  protected readonly features: number;

  constructor(features: number, options: BatchNormModuleOptions = {}) {
    super();
    this.features = features;
    const name = this.constructor.name;
    checkModuleOptions(name, options, ["eps", "momentum", "relu"]);
    const { eps = 1e-5, momentum = 0.1, relu = false, ...rest } = options;
    checkSize(name, "features", features);
    checkNumber(name, "eps", eps, 0);
    checkNumber(name, "momentum", momentum, 0, 1);
    this.weight = parameter(() => init.ones([features], rest));
    this.bias = parameter(() => init.zeros([features], rest));
    this.runningMean = new Buffer(NDArray.zeros([features], rest));
    this.runningVar = new Buffer(NDArray.ones([features], rest));
    this.eps = eps;
    this.momentum = momentum;
    this.relu = relu;
  }

  /** @internal Normalises x (…, features). */
  normalize(x: Tensor): Tensor {
    const { weight, bias, runningMean, runningVar, training, momentum, eps, relu } = this;
    return batchNorm(x, weight, bias, { runningMean, runningVar, training, momentum, eps, relu });
  }

  override [inPyTorch](name: string): InPyTorch {
    return { name: name.replace(/^runningMean$/, "running_mean").replace(/^runningVar$/, "running_var") };
  }
}

/** Over the rows of x (N, features). */
export class BatchNorm1d extends BatchNorm {
  static readonly [keepsNothing] = true;

  override forward(x: Tensor): Tensor {
    checkFloat("BatchNorm1d", x, "the input");
    if (x.ndim !== 2 || x.shape[1] !== this.features) {
      throw new ShapeError("BatchNorm1d", `takes (N, ${this.features})`, { shapes: [x.shape] });
    }
    return this.normalize(x);
  }

  override [joins](chain: Chain): boolean {
    return !this.training && chain.norm(this, false);
  }
}

/** Over the pixels of x (N, features, H, W), each channel by itself. */
export class BatchNorm2d extends BatchNorm {
  static readonly [keepsNothing] = true;

  override forward(x: Tensor): Tensor {
    checkImages("BatchNorm2d", x, this.features);
    return onPixels(x, (pixels) => this.normalize(pixels));
  }

  override [joins](chain: Chain): boolean {
    return !this.training && chain.norm(this, true);
  }
}

export interface LayerNormOptions extends ModuleOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number | undefined;
}

/** Layer normalisation (Ba et al., 2016) over the last axis of x (…, features). */
export class LayerNorm extends Module {
  static readonly [keepsNothing] = true;

  readonly weight: Parameter;
  readonly bias: Parameter;
  private readonly eps: number;

  constructor(features: number, options: LayerNormOptions = {}) {
    super();
    const { eps = 1e-5, ...rest } = checkModuleOptions("LayerNorm", options, ["eps"]);
    checkSize("LayerNorm", "features", features);
    checkNumber("LayerNorm", "eps", eps, 0);
    this.weight = parameter(() => init.ones([features], rest));
    this.bias = parameter(() => init.zeros([features], rest));
    this.eps = eps;
  }

  override forward(x: Tensor): Tensor {
    return layerNorm(x, this.weight, this.bias, { eps: this.eps });
  }
}
