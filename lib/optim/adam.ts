import { check } from "../native/status.ts";
import type { NDArray } from "../ndarray/ndarray.ts";
import { checkOptions } from "../ndarray/options.ts";
import { checkNonNegative, checkRate, Moments, Optimizer, ParameterTable, type Trained } from "./optimizer.ts";

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

const NAMES = ["lr", "beta1", "beta2", "eps", "weightDecay"] as const;

/** Adam (Kingma and Ba, 2015) with bias correction; weight decay is added to the gradient, as `torch.optim.Adam`. */
export class Adam extends Optimizer {
  private readonly beta1: number;
  private readonly beta2: number;
  private readonly eps: number;
  private readonly first: Moments;
  private readonly second: Moments;
  private readonly table: ParameterTable;

  /** Whether the decay is taken from the parameter itself, not added to its gradient. */
  protected readonly decoupled: boolean = false;

  /** @param params parameters, or groups `{ params, lr?, weightDecay? }` of them. */
  constructor(params: Trained, options: AdamOptions = {}) {
    const { name } = new.target;
    const known = checkOptions(name, options, NAMES);
    const { lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0 } = known;
    super(name, params, lr, weightDecay);
    this.beta1 = checkRate(name, "beta1", beta1);
    this.beta2 = checkRate(name, "beta2", beta2);
    this.eps = checkNonNegative(name, "eps", eps);
    this.first = new Moments("first", this.params);
    this.second = new Moments("second", this.params);
    this.table = new ParameterTable(5, this.params.length);
  }

  override step(): void {
    for (const group of this.groups) this.stepOf(group);
    this.markUpdated();
  }

  private stepOf(group: Optimizer["groups"][number]): void {
    const { beta1, beta2, eps, first, second, counts } = this;
    const { params, first: from, weightDecay } = group;
    const [lr, decoupled] = [this.lr * group.scale, Number(this.decoupled)];
    // Parameters that have taken as many steps go together: all of them, unless some had no gradient for a while.
    for (const before of new Set(params.flatMap((p, i) => (p.gradient === null ? [] : [counts[from + i]!])))) {
      const corrections = [1 - beta1 ** (before + 1), 1 - beta2 ** (before + 1)] as const;
      this.table.run(
        params,
        (param, gradient, i) =>
          counts[from + i] === before ? [param.data, gradient, first.get(from + i), second.get(from + i)] : null,
        ({ backend }, rows, count) => {
          const status = backend.th_adam(rows, count, lr, beta1, beta2, eps, weightDecay, decoupled, ...corrections);
          check(status, backend, this.constructor.name);
        },
      );
    }
  }

  protected override arrays(): Record<string, NDArray> {
    return { ...this.first.state(), ...this.second.state() };
  }
}

/**
 * Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as `torch.optim.AdamW`: each step first takes lr ·
 * weightDecay of the parameter. weightDecay is 0.01 by default.
 */
export class AdamW extends Adam {
  protected override readonly decoupled = true;

  constructor(params: Trained, options: AdamOptions = {}) {
    const { weightDecay = 0.01, ...others } = checkOptions("AdamW", options, NAMES);
    super(params, { ...others, weightDecay });
  }
}
