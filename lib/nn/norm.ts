import type { Tensor } from "../autograd/tensor.ts";
import * as init from "../init/index.ts";
import { ShapeError } from "../native/errors.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { checkFlag } from "../ndarray/options.ts";
import { checkGroups, groupNorm } from "../ops/group-norm.ts";
import { batchNorm, layerNorm, rmsNorm } from "../ops/norm.ts";
import { checkFloat, checkNumber } from "../ops/support.ts";
import type { Chain } from "./chain.ts";
import { type InPyTorch, inPyTorch, joins, keepsNothing, Module } from "./module.ts";
import { checkModuleOptions, checkSize, type ModuleOptions } from "./options.ts";
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

export interface RMSNormOptions extends ModuleOptions {
  /** Added to the mean square. Default 2^-23, float32's machine epsilon. */
  eps?: number | undefined;
}

/**
 * Normalisation by the root mean square (Zhang and Sennrich, 2019) over the last axis of x (…, features), as
 * `torch.nn.RMSNorm`: x / √(mean(x²) + eps) · weight, without a mean and a bias.
 */
export class RMSNorm extends Module {
  static readonly [keepsNothing] = true;

  readonly weight: Parameter;
  private readonly eps: number | undefined;

  constructor(features: number, options: RMSNormOptions = {}) {
    super();
    const { eps, ...rest } = checkModuleOptions("RMSNorm", options, ["eps"]);
    checkSize("RMSNorm", "features", features);
    if (eps !== undefined) checkNumber("RMSNorm", "eps", eps, 0);
    this.weight = parameter(() => init.ones([features], rest));
    this.eps = eps;
  }

  override forward(x: Tensor): Tensor {
    return rmsNorm(x, this.weight, { eps: this.eps });
  }
}

export interface GroupNormOptions extends ModuleOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number | undefined;
  /** Whether there are a weight and a bias for each channel. Default true. */
  affine?: boolean | undefined;
}

/**
 * Group normalisation (Wu and He, 2018), as `torch.nn.GroupNorm`: over images x (N, numChannels, H, W), sequences
 * (N, numChannels, L) or rows (N, numChannels), whose channels are cut into `numGroups` groups; each group of each of
 * the N is normalised by its own mean and biased variance, in training and inference alike. weight and bias
 * (numChannels) are null without `affine`. With a group for each channel it is instance normalisation (Ulyanov et al.,
 * 2016): PyTorch's InstanceNorm2d(C) is GroupNorm(C, C, { affine: false }). With one group it is layer normalisation of
 * whole images. Images lie in memory as NHWC, as those of Conv; `ops.groupNorm` takes them so.
 * @throws ArgumentError unless numGroups divides numChannels.
 */
export class GroupNorm extends Module {
  static readonly [keepsNothing] = true;

  readonly weight: Parameter | null;
  readonly bias: Parameter | null;
  readonly numGroups: number;
  readonly numChannels: number;
  private readonly eps: number;

  constructor(numGroups: number, numChannels: number, options: GroupNormOptions = {}) {
    super();
    const { eps = 1e-5, affine = true, ...rest } = checkModuleOptions("GroupNorm", options, ["eps", "affine"]);
    checkSize("GroupNorm", "numChannels", numChannels);
    checkGroups("GroupNorm", numGroups, numChannels);
    checkNumber("GroupNorm", "eps", eps, 0);
    checkFlag("GroupNorm", "affine", affine);
    this.weight = affine ? parameter(() => init.ones([numChannels], rest)) : null;
    this.bias = affine ? parameter(() => init.zeros([numChannels], rest)) : null;
    this.numGroups = numGroups;
    this.numChannels = numChannels;
    this.eps = eps;
  }

  override forward(x: Tensor): Tensor {
    checkFloat("GroupNorm", x, "the input");
    const c = this.numChannels;
    if (x.ndim < 2 || x.ndim > 4 || x.shape[1] !== c)
      throw new ShapeError("GroupNorm", `takes (N, ${c}, H, W), (N, ${c}, L) or (N, ${c})`, { shapes: [x.shape] });
    return x.ndim === 2 ? this.normalize(x) : onPixels(x, (pixels) => this.normalize(pixels));
  }

  private normalize(x: Tensor): Tensor {
    return groupNorm(x, this.numGroups, this.weight, this.bias, { eps: this.eps });
  }
}
