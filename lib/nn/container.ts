/** Modules made of modules. */
import type { Tensor } from "../autograd/tensor.ts";
import { ArgumentError } from "../native/errors.ts";
import { add } from "../ops/elementwise.ts";
import { Module, type ModuleOptions } from "./module.ts";

/** A module that turns one tensor into one. */
export type Layer = Module & { forward(x: Tensor): Tensor };

/** Runs modules one after another. The last argument may be options. */
export class Sequential extends Module {
  readonly modules: readonly Layer[];

  constructor(...modules: readonly (Layer | ModuleOptions)[]) {
    super();
    const options = modules.at(-1);
    const layers = options !== undefined && !(options instanceof Module) ? modules.slice(0, -1) : modules;
    this.modules = layers.map((layer) => checkLayer("Sequential", layer));
  }

  override forward(x: Tensor): Tensor {
    return this.modules.reduce((input, module) => module.forward(input), x);
  }
}

/** module(x) + x. */
export class Residual extends Module {
  readonly module: Layer;

  constructor(module: Layer, _options: ModuleOptions = {}) {
    super();
    this.module = checkLayer("Residual", module);
  }

  override forward(x: Tensor): Tensor {
    return add(this.module.forward(x), x);
  }
}

function checkLayer(name: string, value: unknown): Layer {
  if (value instanceof Module && "forward" in value) return value as Layer;
  throw new ArgumentError(name, `takes modules, not ${String(value)}`);
}
