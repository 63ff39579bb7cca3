/**
 * Training and evaluation of image classifiers, as the homework names them. Each step runs in a tidy, so a run holds
 * the least memory; between steps the loop yields to the event loop, so signals, timers and servers stay alive.
 */
import type { Tensor } from "../autograd/tensor.ts";
import { noGrad } from "../autograd/mode.ts";
import { ArgumentError } from "../native/errors.ts";
import { tidy } from "../ndarray/scope.ts";
import { type Module, SoftmaxLoss } from "../nn/index.ts";
import { Adam, type Optimizer } from "../optim/index.ts";

/** What is trained: images (N, C, H, W) to logits (N, K). */
export type Classifier = Module & { forward(x: Tensor): Tensor };

/** Batches [images, labels int32], with their number; iterated once an epoch. A DataLoader is one. */
export interface Batches extends Iterable<readonly [Tensor, Tensor]> {
  readonly length: number;
}

/** Averages over examples. */
export interface EpochResult {
  /** Share of examples whose largest logit is the label's. */
  accuracy: number;
  loss: number;
}

/** After a step: averages of the epoch so far. */
export interface StepReport extends EpochResult {
  /** Steps and examples done in this epoch, and the steps that it has. */
  step: number;
  steps: number;
  examples: number;
  /** Loss of this batch alone. */
  batchLoss: number;
}

export interface EpochOptions {
  /** Default SoftmaxLoss. */
  lossFn?: { forward(logits: Tensor, labels: Tensor): Tensor } | undefined;
  /** Trains with it; without one the epoch only evaluates. */
  opt?: Optimizer | undefined;
  /** Called after every step: for progress, or to set `opt.lr` for the next one. */
  onStep?: ((report: StepReport) => void) | undefined;
  /** Stops after the running step: the epoch then throws the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** One pass over the batches: training if `opt` is given, else evaluation. The model's mode is restored afterwards. */
export async function epochGeneralCifar10(
  loader: Batches,
  model: Classifier,
  options: EpochOptions = {},
): Promise<EpochResult> {
  const { lossFn = new SoftmaxLoss(), opt, onStep, signal } = options;
  const mode = model.training;
  model.train(opt !== undefined);
  let examples = 0;
  let lossSum = 0;
  let correct = 0;
  let step = 0;
  try {
    for (const [x, y] of loader) {
      signal?.throwIfAborted();
      const n = x.shape[0]!;
      const batch = opt === undefined ? noGrad(() => runStep(model, lossFn, x, y)) : runStep(model, lossFn, x, y, opt);
      x.dispose();
      y.dispose();
      examples += n;
      lossSum += batch.loss * n;
      correct += batch.correct;
      step++;
      onStep?.({
        step,
        steps: loader.length,
        examples,
        loss: lossSum / examples,
        accuracy: correct / examples,
        batchLoss: batch.loss,
      });
      await new Promise((resolve) => setImmediate(resolve));
    }
    signal?.throwIfAborted();
  } finally {
    model.train(mode);
  }
  if (examples === 0) throw new ArgumentError("epochGeneralCifar10", "the loader gave no batches");
  return { accuracy: correct / examples, loss: lossSum / examples };
}

function runStep(
  model: Classifier,
  lossFn: NonNullable<EpochOptions["lossFn"]>,
  x: Tensor,
  y: Tensor,
  opt?: Optimizer,
) {
  return tidy(() => {
    const logits = model.forward(x);
    const loss = lossFn.forward(logits, y);
    if (opt !== undefined) {
      opt.zeroGrad();
      loss.backward();
      opt.step();
    }
    const correct = logits.data.argMax({ axes: 1 }).equal(y.data).sum().item();
    return { loss: loss.item(), correct };
  });
}

export interface TrainOptions extends Omit<EpochOptions, "opt"> {
  /** Default 1. */
  epochs?: number | undefined;
  /** Class of the optimizer. Default Adam. */
  optimizer?: (new (params: Iterable<Tensor>, options: { lr: number; weightDecay: number }) => Optimizer) | undefined;
  /** Default 1e-3. */
  lr?: number | undefined;
  /** Default 1e-3. */
  weightDecay?: number | undefined;
  /** Called after every epoch, counted from 1. */
  onEpoch?: ((epoch: number, result: EpochResult) => void) | undefined;
}

/** Trains for some epochs; the averages of the last one. */
export async function trainCifar10(
  model: Classifier,
  loader: Batches,
  options: TrainOptions = {},
): Promise<EpochResult> {
  const { epochs = 1, optimizer = Adam, lr = 1e-3, weightDecay = 1e-3, onEpoch, ...rest } = options;
  if (!Number.isInteger(epochs) || epochs < 1) {
    throw new ArgumentError("trainCifar10", `epochs must be a positive integer, not ${String(epochs)}`);
  }
  const opt = new optimizer(model.parameters(), { lr, weightDecay });
  let result: EpochResult = { accuracy: NaN, loss: NaN };
  for (let epoch = 1; epoch <= epochs; epoch++) {
    result = await epochGeneralCifar10(loader, model, { ...rest, opt });
    onEpoch?.(epoch, result);
  }
  return result;
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
