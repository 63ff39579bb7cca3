/** Training and evaluation of image classifiers, as the homework names them. */
import type { Tensor } from "../autograd/tensor.ts";
import type { Module } from "../nn/index.ts";
import { Adam } from "../optim/index.ts";
import {
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
}

export interface EpochOptions extends LoopOptions {
  /** Called after every step: for progress, or to set `opt.lr` for the next one. */
  onStep?: ((report: StepReport) => void) | undefined;
}

/** One pass over the batches: training if `opt` is given, else evaluation. The model's mode is restored afterwards. */
export async function epochGeneralCifar10(
  loader: Batches,
  model: Classifier,
  { onStep, lossFn, ...options }: EpochOptions = {},
): Promise<EpochResult> {
  function* steps() {
    for (const [x, labels] of loader) {
      const forward = (): Outcome<null> => ({ ...judge(model.forward(x), labels, lossFn), state: null });
      yield { inputs: [x], labels, forward };
    }
  }
  const loop = { operation: "epochGeneralCifar10", model, steps: loader.length, each: steps() };
  return runEpoch({ ...loop, onStep: (report) => onStep?.(report) }, options);
}

/** Default: Adam, lr 1e-3, weight decay 1e-3. */
export interface TrainOptions extends Omit<EpochOptions, "opt">, EpochsOptions {}

/** Trains for some epochs; the averages of the last one. */
export async function trainCifar10(
  model: Classifier,
  loader: Batches,
  { epochs, optimizer, lr, weightDecay, onEpoch, ...options }: TrainOptions = {},
): Promise<EpochResult> {
  const plan = { epochs, optimizer, lr, weightDecay, onEpoch };
  const defaults = { optimizer: Adam, lr: 1e-3, weightDecay: 1e-3 };
  return runEpochs("trainCifar10", model, plan, defaults, (opt) =>
    epochGeneralCifar10(loader, model, { ...options, opt }),
  );
}

/** Average accuracy and loss without training. */
export async function evaluateCifar10(
  model: Classifier,
  loader: Batches,
  options: Omit<EpochOptions, "opt"> = {},
): Promise<EpochResult> {
  const { opt: _, ...rest }: EpochOptions = options;
  return epochGeneralCifar10(loader, model, rest);
}
