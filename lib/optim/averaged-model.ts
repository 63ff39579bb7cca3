import { ArgumentError, ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { sameShape } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { describe } from "../ndarray/operands.ts";
import { checkOptions } from "../ndarray/options.ts";
import { tidy } from "../ndarray/scope.ts";
import { Module } from "../nn/module.ts";
import type { StateDict } from "../nn/state-dict.ts";
import { Buffer, Parameter } from "../nn/parameter.ts";
import { checkNumber, contiguous } from "../ops/support.ts";

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
    const moving: [average: NDArray, value: NDArray][] = [];
    for (const [target, source] of tensors) {
      const moves = before > 0 && this.decay > 0 && target instanceof Parameter && target.dtype === "float32";
      if (moves) moving.push([target.data, source.data]);
      else target.set(source);
    }
    follow(moving, this.decay);
    this.updates.set(before + 1);
  }
}

/** p += (1 - decay) · (value - p) for all averages in one native call: SGD's p -= lr · (g + weightDecay · p), g the value. */
function follow(pairs: readonly [average: NDArray, value: NDArray][], decay: number): void {
  for (const device of new Set(pairs.map(([average]) => average.device)))
    tidy(() => {
      const own = pairs.filter(([average]) => average.device === device);
      const values = own.map(([, value]) => contiguous(value.to({ device, dtype: "float32" })));
      const rows = own.flatMap(([average], i) => [average.pointer, values[i]!.pointer, 0, average.size]);
      const status = device.backend.th_sgd(Float64Array.from(rows), own.length, decay - 1, 0, -1, 0);
      check(status, device.backend, "AveragedModel");
      for (const [average] of own) average.storage.version++;
    });
}

function checkModel<M extends Module>(model: M): M {
  if (model instanceof Module) return model;
  throw new ArgumentError("AveragedModel", `takes a module, not ${describe(model)}`);
}

function checkSame(own: StateDict, given: StateDict): void {
  const [names, others] = [Object.keys(own).join(", "), Object.keys(given).join(", ")];
  if (names !== others) throw new ArgumentError("update", `the model has the tensors '${others}', not '${names}'`);
  for (const [name, { shape, data }] of Object.entries(own)) {
    data.assertUsable();
    given[name]!.data.assertUsable();
    const shapes = [shape, given[name]!.shape];
    if (!sameShape(shape, given[name]!.shape))
      throw new ShapeError("update", `'${name}' has another shape`, { shapes });
    if (!data.isCompact()) throw new ShapeError("update", `'${name}' of the average must be contiguous`, { shapes });
  }
}
