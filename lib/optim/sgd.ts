import type { Tensor } from "../autograd/tensor.ts";
import { check } from "../native/status.ts";
import type { NDArray } from "../ndarray/ndarray.ts";
import { checkOptions } from "../ndarray/options.ts";
import { checkNonNegative, Moments, Optimizer, ParameterTable } from "./optimizer.ts";

export interface SGDOptions {
  /** Learning rate. */
  lr: number;
  /** Default 0. */
  momentum?: number | undefined;
  /** Times the parameter is added to its gradient. Default 0. */
  weightDecay?: number | undefined;
}

/**
 * Stochastic gradient descent: b = momentum · b + (g + weightDecay · p), p -= lr · b, as `torch.optim.SGD`. Subnormal
 * weights become 0.
 */
export class SGD extends Optimizer {
  private readonly momentum: number;
  private readonly weightDecay: number;
  private readonly velocity: Moments;
  private readonly table: ParameterTable;

  constructor(params: Iterable<Tensor>, options: SGDOptions) {
    const { lr, momentum = 0, weightDecay = 0 } = checkOptions("SGD", options, ["lr", "momentum", "weightDecay"]);
    super("SGD", params, lr);
    this.momentum = checkNonNegative("SGD", "momentum", momentum);
    this.weightDecay = checkNonNegative("SGD", "weightDecay", weightDecay);
    this.velocity = new Moments("velocity", this.params);
    this.table = new ParameterTable(4, this.params.length);
  }

  override step(): void {
    const { momentum, weightDecay, velocity, lr } = this;
    this.table.run(
      this.params,
      (param, gradient, i) => [param.data, gradient, momentum === 0 ? null : velocity.get(i)],
      ({ backend }, rows, count) => check(backend.th_sgd(rows, count, lr, momentum, weightDecay), backend, "SGD"),
    );
    this.markUpdated();
  }

  protected override arrays(): Record<string, NDArray> {
    return this.momentum === 0 ? {} : this.velocity.state();
  }
}
