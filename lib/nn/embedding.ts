import type { Tensor } from "../autograd/tensor.ts";
import * as init from "../init/index.ts";
import { embedding } from "../ops/embedding.ts";
import { keepsNothing, Module } from "./module.ts";
import { checkModuleOptions, checkSize, type ModuleOptions } from "./options.ts";
import { type Parameter, parameter } from "./parameter.ts";

/** A vector for each of `count` ids: ids (…) int32 give (…, dim). weight (count, dim) starts from N(0, 1). */
export class Embedding extends Module {
  static readonly [keepsNothing] = true;

  readonly weight: Parameter;

  constructor(count: number, dim: number, options: ModuleOptions = {}) {
    super();
    checkModuleOptions("Embedding", options);
    checkSize("Embedding", "count", count);
    checkSize("Embedding", "dim", dim);
    this.weight = parameter(() => init.normal([count, dim], options));
  }

  /** @throws ArgumentError for an id outside [0, count). */
  override forward(ids: Tensor): Tensor {
    return embedding(this.weight, ids);
  }
}
