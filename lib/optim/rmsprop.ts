import { check } from "../native/status.ts";
import type { NDArray } from "../ndarray/ndarray.ts";
import { checkFlag, checkOptions } from "../ndarray/options.ts";
import { checkNonNegative, checkRate, Moments, Optimizer, ParameterTable, type Trained } from "./optimizer.ts";

export interface RMSpropOptions {
  /** Default 1e-2. */
  lr?: number | undefined;
  /** Decay of the mean of squares. Default 0.99. */
  alpha?: number | undefined;
  /** Added to the root of that mean. Default 1e-8. */
  eps?: number | undefined;
  /** Times the parameter is added to its gradient. Default 0. */
  weightDecay?: number | undefined;
  /** Default 0. */
  momentum?: number | undefined;
  /** Divides by an estimate of the gradient's standard deviation instead (Graves, 2013). Default false. */
  centered?: boolean | undefined;
}

/**
 * RMSprop (Tieleman and Hinton, 2012), as `torch.optim.RMSprop`: steps are the gradient over the root of a moving mean of
 * its squares, s = alpha · s + (1 - alpha) · g²; u = g / (√s + eps); b = momentum · b + u; p -= lr · b. Where rounding
 * makes the variance of `centered` negative it counts as 0, where PyTorch gives NaN.
 */
export class RMSprop extends Optimizer {
  private readonly alpha: number;
  private readonly eps: number;
  private readonly momentum: number;
  private readonly centered: boolean;
  private readonly square: Moments;
  private readonly velocity: Moments;
  private readonly mean: Moments;
  private readonly table: ParameterTable;

  /** @param params parameters, or groups `{ params, lr?, weightDecay? }` of them. */
  constructor(params: Trained, options: RMSpropOptions = {}) {
    const known = checkOptions("RMSprop", options, ["lr", "alpha", "eps", "weightDecay", "momentum", "centered"]);
    const { lr = 1e-2, alpha = 0.99, eps = 1e-8, weightDecay = 0, momentum = 0, centered = false } = known;
    super("RMSprop", params, lr, weightDecay);
    this.alpha = checkRate("RMSprop", "alpha", alpha);
    this.eps = checkNonNegative("RMSprop", "eps", eps);
    this.momentum = checkNonNegative("RMSprop", "momentum", momentum);
    checkFlag("RMSprop", "centered", centered);
    this.centered = centered;
    this.square = new Moments("square", this.params);
    this.velocity = new Moments("velocity", this.params);
    this.mean = new Moments("mean", this.params);
    this.table = new ParameterTable(6, this.params.length);
  }

  override step(): void {
    const { alpha, eps, momentum, centered, square, velocity, mean } = this;
    for (const { params, first, scale, weightDecay } of this.groups) {
      const lr = this.lr * scale;
      this.table.run(
        params,
        (param, gradient, i) => [
          param.data,
          gradient,
          square.get(first + i),
          momentum === 0 ? null : velocity.get(first + i),
          centered ? mean.get(first + i) : null,
        ],
        ({ backend }, rows, count) =>
          check(backend.th_rmsprop(rows, count, lr, alpha, eps, weightDecay, momentum), backend, "RMSprop"),
      );
    }
    this.markUpdated();
  }

  protected override arrays(): Record<string, NDArray> {
    return {
      ...this.square.state(),
      ...(this.momentum === 0 ? {} : this.velocity.state()),
      ...(this.centered ? this.mean.state() : {}),
    };
  }
}
