/** The linear layer. */
import type { Tensor } from "../autograd/tensor.ts";
import * as init from "../init/index.ts";
import { linearCrossEntropy, type LinearLoss } from "../ops/linear-cross-entropy.ts";
import { linear } from "../ops/matmul.ts";
import type { Chain } from "./chain.ts";
import { type InPyTorch, inPyTorch, joins, keepsNothing, Module } from "./module.ts";
import { checkModuleOptions, checkSize, type ModuleOptions } from "./options.ts";
import { type Parameter, parameter } from "./parameter.ts";

export interface LinearOptions extends ModuleOptions {
  /** Default true. */
  bias?: boolean | undefined;
  /** Of the Kaiming initialisation. Default √2, for ReLU; 1/√3 gives PyTorch's default, U(±1/√in). */
  gain?: number | undefined;
}

/**
 * x · weight + bias: x (…, in) gives (…, out). weight (in, out) and bias (out) start from Kaiming-uniform numbers, as
 * the homework's, the bias with the fan `out`.
 */
export class Linear extends Module {
  static readonly [keepsNothing] = true;

  readonly weight: Parameter;
  readonly bias: Parameter | null;

  constructor(inFeatures: number, outFeatures: number, options: LinearOptions = {}) {
    super();
    const { bias = true, ...rest } = checkModuleOptions("Linear", options, ["bias", "gain"]);
    checkSize("Linear", "inFeatures", inFeatures);
    checkSize("Linear", "outFeatures", outFeatures);
    this.weight = parameter(() => init.kaimingUniform(inFeatures, outFeatures, rest));
    this.bias = bias ? parameter(() => init.kaimingUniform(outFeatures, 1, rest).reshape([outFeatures])) : null;
  }

  override forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias);
  }

  override [joins](chain: Chain): boolean {
    return chain.linear(this);
  }

  override [inPyTorch](name: string): InPyTorch {
    return name === "weight" ? { name, axes: [1, 0] } : { name };
  }

  /** The cross-entropy of `forward(x)`, x (N, in), against labels (N) int32, without making all logits at once. */
  crossEntropy(x: Tensor, labels: Tensor): LinearLoss {
    return linearCrossEntropy(x, this.weight, this.bias, labels);
  }
}
