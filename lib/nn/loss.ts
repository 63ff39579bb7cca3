/**
 * Losses. Each compares a prediction with a target of the same shape, or logits with labels, and makes of its elements what
 * `reduction` says: their mean (the default), their sum, or nothing.
 */
import type { Tensor } from "../autograd/tensor.ts";
import { ArgumentError } from "../native/errors.ts";
import { tidy } from "../ndarray/scope.ts";
import { abs, div, pow, sub } from "../ops/elementwise.ts";
import {
  binaryCrossEntropy,
  checkPosWeight,
  checkReduction,
  checkSameShape,
  huber,
  reduced,
  type Reduction,
} from "../ops/loss.ts";
import { checkCrossEntropy, crossEntropy, type CrossEntropyOptions } from "../ops/softmax.ts";
import { checkFloat, checkNumber } from "../ops/support.ts";
import { keepsNothing, Module } from "./module.ts";
import { checkModuleOptions, type ModuleOptions } from "./options.ts";
import { Buffer } from "./parameter.ts";

export interface LossOptions extends ModuleOptions {
  /** Default "mean". */
  reduction?: Reduction | undefined;
}

/** A loss of a prediction and a target of the same shape, computed element by element. */
abstract class ElementwiseLoss extends Module {
  private readonly reduction: Reduction;

  constructor({ reduction = "mean" }: LossOptions) {
    super();
    checkReduction(this.constructor.name, reduction);
    this.reduction = reduction;
  }

  /** The loss of each element. */
  protected abstract losses(prediction: Tensor, target: Tensor): Tensor;

  /** @throws ShapeError unless both have the same shape: a loss does not broadcast. */
  override forward(prediction: Tensor, target: Tensor): Tensor {
    checkSameShape(this.constructor.name, prediction, target);
    return tidy(() => reduced(this.losses(prediction, target), this.reduction));
  }
}

/** The square of prediction - target. */
export class MSELoss extends ElementwiseLoss {
  static readonly [keepsNothing] = true;

  constructor(options: LossOptions = {}) {
    super(checkModuleOptions("MSELoss", options, ["reduction"]));
  }

  protected override losses(prediction: Tensor, target: Tensor): Tensor {
    return pow(sub(prediction, target), 2);
  }
}

/** |prediction - target|, with gradient 0 where they are equal, or one is NaN. */
export class L1Loss extends ElementwiseLoss {
  static readonly [keepsNothing] = true;

  constructor(options: LossOptions = {}) {
    super(checkModuleOptions("L1Loss", options, ["reduction"]));
  }

  protected override losses(prediction: Tensor, target: Tensor): Tensor {
    return abs(sub(prediction, target));
  }
}

export interface HuberLossOptions extends LossOptions {
  /** Where the square becomes a line: a positive number, default 1. */
  delta?: number | undefined;
}

/** Of a difference d up to delta d² / 2, and beyond it delta · (|d| - delta / 2) (Huber, 1964). */
export class HuberLoss extends ElementwiseLoss {
  static readonly [keepsNothing] = true;

  private readonly delta: number;

  constructor(options: HuberLossOptions = {}) {
    super(checkModuleOptions("HuberLoss", options, ["reduction", "delta"]));
    const { delta = 1 } = options;
    checkNumber("HuberLoss", "delta", delta);
    if (delta <= 0) throw new ArgumentError("HuberLoss", `delta must be positive, not ${delta}`);
    this.delta = delta;
  }

  protected override losses(prediction: Tensor, target: Tensor): Tensor {
    return huber(sub(prediction, target), this.delta);
  }
}

export interface SmoothL1LossOptions extends LossOptions {
  /** Where the square becomes a line: default 1; 0 for the line alone, as L1Loss. */
  beta?: number | undefined;
}

/** Of a difference d up to beta d² / (2 · beta), and beyond it |d| - beta / 2 (Girshick, 2015): HuberLoss over beta. */
export class SmoothL1Loss extends ElementwiseLoss {
  static readonly [keepsNothing] = true;

  private readonly beta: number;

  constructor(options: SmoothL1LossOptions = {}) {
    super(checkModuleOptions("SmoothL1Loss", options, ["reduction", "beta"]));
    const { beta = 1 } = options;
    checkNumber("SmoothL1Loss", "beta", beta, 0);
    this.beta = beta < 2 ** -126 ? 0 : beta; // float32 cannot divide by less
  }

  override forward(prediction: Tensor, target: Tensor): Tensor {
    const { beta } = this;
    if (beta === 0 || beta === 1) return super.forward(prediction, target);
    return tidy(() => div(super.forward(prediction, target), beta)); // of a mean, a single number
  }

  protected override losses(prediction: Tensor, target: Tensor): Tensor {
    const difference = sub(prediction, target);
    return this.beta === 0 ? abs(difference) : huber(difference, this.beta);
  }
}

export interface BCEWithLogitsLossOptions extends LossOptions {
  /** A factor of the losses of positive targets, float32, that broadcasts to the logits' shape: often one a class. */
  posWeight?: Tensor | undefined;
}

/**
 * The binary cross-entropy of logits and targets between 0 and 1, computed without overflow:
 * -posWeight · t · log σ(x) - (1 - t) · log(1 - σ(x)). posWeight is a buffer: it is saved, and moves with the module.
 */
export class BCEWithLogitsLoss extends ElementwiseLoss {
  static readonly [keepsNothing] = true;

  readonly posWeight: Buffer | null;

  constructor(options: BCEWithLogitsLossOptions = {}) {
    super(checkModuleOptions("BCEWithLogitsLoss", options, ["reduction", "posWeight"]));
    this.posWeight = weightBuffer("BCEWithLogitsLoss", "posWeight", options.posWeight);
  }

  protected override losses(logits: Tensor, target: Tensor): Tensor {
    if (this.posWeight !== null) checkPosWeight("BCEWithLogitsLoss", logits, this.posWeight);
    return binaryCrossEntropy(logits, target, this.posWeight);
  }
}

export interface SoftmaxLossOptions extends ModuleOptions, CrossEntropyOptions {}

/**
 * The cross-entropy of logits (N, K) against labels (N) int32, or probabilities (N, K) float32, as
 * `torch.nn.CrossEntropyLoss`: by default the mean, a scalar. See {@link crossEntropy}. The weight is a buffer: it is saved,
 * and moves with the module.
 */
export class SoftmaxLoss extends Module {
  static readonly [keepsNothing] = true;

  readonly weight: Buffer | null;
  private readonly settings: CrossEntropyOptions;

  constructor(options: SoftmaxLossOptions = {}) {
    super();
    const own = ["reduction", "ignoreIndex", "labelSmoothing", "weight"] as const;
    const { device: _device, dtype: _dtype, weight, ...settings } = checkModuleOptions("SoftmaxLoss", options, own);
    checkCrossEntropy("SoftmaxLoss", settings);
    this.weight = weightBuffer("SoftmaxLoss", "weight", weight);
    this.settings = settings;
  }

  /** @throws ArgumentError for a label outside [0, K) that is not ignored. */
  override forward(logits: Tensor, labels: Tensor): Tensor {
    const { settings, weight } = this;
    return crossEntropy(logits, labels, weight === null ? settings : { ...settings, weight });
  }
}

function weightBuffer(module: string, name: string, weight: Tensor | undefined): Buffer | null {
  if (weight === undefined) return null;
  checkFloat(module, weight, name);
  return new Buffer(weight);
}
