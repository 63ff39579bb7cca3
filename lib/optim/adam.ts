import type { Tensor } from "../autograd/tensor.ts";
import { check } from "../native/status.ts";
import type { NDArray } from "../ndarray/ndarray.ts";
import { checkOptions } from "../ndarray/options.ts";
import { checkNonNegative, checkRate, Moments, Optimizer, ParameterTable } from "./optimizer.ts";

export interface AdamOptions {
  /** Default 1e-3. */
  lr?: number | undefined;
  /** Decay of the first and second moment. Defaults 0.9 and 0.999. */
  beta1?: number | undefined;
  beta2?: number | undefined;
  /** Default 1e-8. */
  eps?: number | undefined;
  /** Times the parameter is added to its gradient. Default 0. */
  weightDecay?: number | undefined;
}

/** Adam (Kingma and Ba, 2015) with bias correction; weight decay is added to the gradient, as `torch.optim.Adam`. */
export class Adam extends Optimizer {
  private readonly beta1: number;
  private readonly beta2: number;
  private readonly eps: number;
  private readonly weightDecay: number;
  private readonly first: Moments;
  private readonly second: Moments;
  private readonly table: ParameterTable;

  constructor(params: Iterable<Tensor>, options: AdamOptions = {}) {
    const known = checkOptions("Adam", options, ["lr", "beta1", "beta2", "eps", "weightDecay"]);
    const { lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0 } = known;
    super("Adam", params, lr);
    this.beta1 = checkRate("Adam", "beta1", beta1);
    this.beta2 = checkRate("Adam", "beta2", beta2);
    this.eps = checkNonNegative("Adam", "eps", eps);
    this.weightDecay = checkNonNegative("Adam", "weightDecay", weightDecay);
    this.first = new Moments("first", this.params);
    this.second = new Moments("second", this.params);
    this.table = new ParameterTable(5, this.params.length);
  }

  override step(): void {
    const { lr, beta1, beta2, eps, weightDecay, first, second, counts } = this;
    // Parameters that have taken as many steps go together: all of them, unless some had no gradient for a while.
    for (const before of new Set(counts.filter((_, i) => this.params[i]!.gradient !== null))) {
      const correction1 = 1 - beta1 ** (before + 1);
      const correction2 = 1 - beta2 ** (before + 1);
      this.table.run(
        this.params,
        (param, gradient, i) => (counts[i] === before ? [param.data, gradient, first.get(i), second.get(i)] : null),
        ({ backend }, rows, count) => {
          const status = backend.th_adam(rows, count, lr, beta1, beta2, eps, weightDecay, correction1, correction2);
          check(status, backend, "Adam");
        },
      );
    }
    this.markUpdated();
  }

  protected override arrays(): Record<string, NDArray> {
    return { ...this.first.state(), ...this.second.state() };
  }
}
