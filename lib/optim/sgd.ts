import { ArgumentError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import type { NDArray } from "../ndarray/ndarray.ts";
import { checkFlag, checkOptions } from "../ndarray/options.ts";
import { checkNonNegative, Moments, Optimizer, ParameterTable, type Trained } from "./optimizer.ts";

export interface SGDOptions {
  /** Learning rate. */
  lr: number;
  /** Default 0. */
  momentum?: number | undefined;
  /** Times the parameter is added to its gradient. Default 0. */
  weightDecay?: number | undefined;
  /** Steps as if the momentum had already moved the parameter (Sutskever et al., 2013). Needs momentum. Default false. */
  nesterov?: boolean | undefined;
}

/**
 * Stochastic gradient descent: b = momentum · b + (g + weightDecay · p), p -= lr · b, as `torch.optim.SGD`. Subnormal
 * weights become 0.
 */
export class SGD extends Optimizer {
  private readonly momentum: number;
  private readonly nesterov: boolean;
  private readonly velocity: Moments;
  private readonly table: ParameterTable;

  /** @param params parameters, or groups `{ params, lr?, weightDecay? }` of them. */
  constructor(params: Trained, options: SGDOptions) {
    const known = checkOptions("SGD", options, ["lr", "momentum", "weightDecay", "nesterov"]);
    const { lr, momentum = 0, weightDecay = 0, nesterov = false } = known;
    super("SGD", params, lr, weightDecay);
    this.momentum = checkNonNegative("SGD", "momentum", momentum);
    checkFlag("SGD", "nesterov", nesterov);
    this.nesterov = nesterov;
    if (nesterov && momentum === 0) throw new ArgumentError("SGD", "nesterov needs momentum");
    this.velocity = new Moments("velocity", this.params);
    this.table = new ParameterTable(4, this.params.length);
  }

  override step(): void {
    const { momentum, velocity } = this;
    for (const { params, first, scale, weightDecay } of this.groups) {
      const [lr, nesterov] = [this.lr * scale, Number(this.nesterov)];
      this.table.run(
        params,
        (param, gradient, i) => [param.data, gradient, momentum === 0 ? null : velocity.get(first + i)],
        ({ backend }, rows, count) =>
          check(backend.th_sgd(rows, count, lr, momentum, weightDecay, nesterov), backend, "SGD"),
      );
    }
    this.markUpdated();
  }

  protected override arrays(): Record<string, NDArray> {
    return this.momentum === 0 ? {} : this.velocity.state();
  }
}
