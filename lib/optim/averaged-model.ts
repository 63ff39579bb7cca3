import { ArgumentError, ShapeError } from "../native/errors.ts";
import { binary, unary } from "../ndarray/arithmetic.ts";
import { sameShape } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { describe } from "../ndarray/operands.ts";
import { checkOptions } from "../ndarray/options.ts";
import { Module, type StateDict } from "../nn/module.ts";
import { Buffer, Parameter } from "../nn/parameter.ts";
import { checkNumber } from "../ops/support.ts";

export interface AveragedModelOptions {
  /** How much of the average an update keeps, in [0, 1]. Default 0.999. */
  decay?: number | undefined;
}

/**
 * A copy of a model whose parameters follow it as an exponential moving average, as
 * `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn(decay)`: for evaluation, or as the target network of
 * reinforcement learning. Itself a module, so that a checkpoint of it can be saved and continued.
 *
 * ```ts
 * const averaged = new optim.AveragedModel(model, { decay: 0.99 });
 * // after each opt.step():
 * averaged.update(model);
 * // where it is used:
 * noGrad(() => averaged.eval().forward(x));
 * ```
 */
export class AveragedModel<M extends Module> extends Module {
  /** The average: a {@link Module.clone} of the model, at first with its values and modes. */
  readonly module: M;
  /** How often it was updated: a buffer () of int32. */
  readonly updates: Buffer;
  readonly decay: number;

  constructor(model: M, options: AveragedModelOptions = {}) {
    super();
    const { decay = 0.999 } = checkOptions("AveragedModel", options, ["decay"]);
    checkNumber("AveragedModel", "decay", decay, 0, 1);
    this.decay = decay;
    this.module = checkModel(model).clone();
    this.training = model.training;
    this.updates = new Buffer(NDArray.zeros([], { dtype: "int32" }));
  }

  /** What the average computes. */
  override forward(...inputs: Parameters<M["forward"]>): ReturnType<M["forward"]> {
    return this.module.forward(...inputs) as ReturnType<M["forward"]>;
  }

  /**
   * Moves the average towards the model: p = decay · p + (1 - decay) · the model's, but the first update copies it, as
   * PyTorch's. Buffers, such as running statistics, are copied. Both may be on different devices.
   * @throws ArgumentError, ShapeError unless the model has the tensors that the average has; then nothing is written.
   */
  update(model: M): void {
    const [own, given] = [this.module.stateDict(), checkModel(model).stateDict()];
    checkSame(own, given);
    const before = this.updates.item();
    const tensors = new Map(Object.entries(own).map(([name, target]) => [target, given[name]!])); // shared ones once
    for (const [target, source] of tensors) {
      const copied = before === 0 || !(target instanceof Parameter) || target.dtype !== "float32";
      if (copied) target.set(source);
      else follow(target.data, source.data, this.decay);
    }
    this.updates.set(before + 1);
  }
}

/** average = decay · average + (1 - decay) · value, from the nearer of both, so that a decay of 0 or 1 is exact. */
function follow(average: NDArray, value: NDArray, decay: number): void {
  using moved = value.to(average.device);
  const [near, far, weight] = decay < 0.5 ? [moved, average, decay] : [average, moved, 1 - decay];
  using distance = binary("sub", far, near);
  using step = unary("mulScalar", distance, weight);
  using next = binary("add", near, step);
  average.assign("update", next);
}

function checkModel<M extends Module>(model: M): M {
  if (model instanceof Module) return model;
  throw new ArgumentError("AveragedModel", `takes a module, not ${describe(model)}`);
}

function checkSame(own: StateDict, given: StateDict): void {
  const [names, others] = [Object.keys(own).join(", "), Object.keys(given).join(", ")];
  if (names !== others) throw new ArgumentError("update", `the model has the tensors '${others}', not '${names}'`);
  for (const [name, { shape }] of Object.entries(own)) {
    given[name]!.data.assertUsable();
    if (sameShape(shape, given[name]!.shape)) continue;
    throw new ShapeError("update", `'${name}' has another shape`, { shapes: [shape, given[name]!.shape] });
  }
}
