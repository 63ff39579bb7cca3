/** Training and evaluation of image classifiers, as the homework names them. */
import type { Tensor } from "../autograd/tensor.ts";
import type { Module } from "../nn/index.ts";
import { ArgumentError } from "../native/errors.ts";
import { describe } from "../ndarray/operands.ts";
import { checkOptions } from "../ndarray/options.ts";
import { Adam } from "../optim/index.ts";
import {
  checkLoop,
  EPOCHS_OPTIONS,
  type EpochResult,
  type EpochsOptions,
  judge,
  type LoopOptions,
  type Outcome,
  runEpoch,
  runEpochs,
  type StepReport,
} from "./epoch.ts";

/** What is trained: images (N, C, H, W) to logits (N, K). */
export type Classifier = Module & { forward(x: Tensor): Tensor };

/** Batches [images, labels int32], with their number; iterated once an epoch. A DataLoader is one. */
export interface Batches extends Iterable<readonly [Tensor, Tensor]> {
  readonly length: number;
  /** Whether each iteration makes its batches anew, so that the loop may free them after their step. Default false. */
  readonly fresh?: boolean | undefined;
}

export interface EpochOptions extends LoopOptions {
  /** Called after every step: for progress, or to set `opt.lr` for the next one. */
  onStep?: ((report: StepReport) => void) | undefined;
}

const JUDGE_OPTIONS = ["onStep", "lossFn", "clip", "signal"] as const;
const EPOCH_OPTIONS = [...JUDGE_OPTIONS, "opt"] as const;

/**
 * One pass over the batches: training if `opt` is given, else evaluation. Between steps each module is in the mode
 * that it had before.
 */
export async function epochGeneralCifar10(
  loader: Batches,
  model: Classifier,
  options: EpochOptions = {},
): Promise<EpochResult> {
  const operation = "epochGeneralCifar10";
  const { onStep, lossFn, ...rest } = checkOptions(operation, options, EPOCH_OPTIONS);
  checkLoop(operation, model, options);
  if (typeof loader !== "object" || loader === null || !(Symbol.iterator in loader))
    throw new ArgumentError(operation, `takes batches, such as a DataLoader, not ${describe(loader)}`);
  function* steps() {
    for (const [x, labels] of loader) {
      const forward = (): Outcome<null> => ({ ...judge(model.forward(x), labels, lossFn), state: null });
      yield { inputs: [x], labels, owned: loader.fresh === true, forward };
    }
  }
  const loop = { operation, model, steps: loader.length, each: steps() };
  return runEpoch({ ...loop, onStep: (report) => onStep?.(report) }, rest);
}

/** Default: Adam, lr 1e-3, weight decay 1e-3. */
export interface TrainOptions extends Omit<EpochOptions, "opt">, EpochsOptions {}

/** Trains for some epochs; the averages of the last one. */
export async function trainCifar10(
  model: Classifier,
  loader: Batches,
  options: TrainOptions = {},
): Promise<EpochResult> {
  checkOptions("trainCifar10", options, [...JUDGE_OPTIONS, ...EPOCHS_OPTIONS]);
  const { epochs, optimizer, lr, weightDecay, onEpoch, ...rest } = options;
  const plan = { epochs, optimizer, lr, weightDecay, onEpoch };
  const defaults = { optimizer: Adam, lr: 1e-3, weightDecay: 1e-3 };
  return runEpochs("trainCifar10", model, plan, defaults, (opt) =>
    epochGeneralCifar10(loader, model, { ...rest, opt }),
  );
}

/** Average accuracy and loss without training. */
export async function evaluateCifar10(
  model: Classifier,
  loader: Batches,
  options: Omit<EpochOptions, "opt"> = {},
): Promise<EpochResult> {
  return epochGeneralCifar10(loader, model, checkOptions("evaluateCifar10", options, JUDGE_OPTIONS));
}
