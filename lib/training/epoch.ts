/**
 * What training loops share: a step in a tidy, averages over examples, and between steps a yield to the event loop, so
 * that signals, timers and servers stay alive.
 */
import type { Tensor } from "../autograd/tensor.ts";
import { noGrad } from "../autograd/mode.ts";
import { ArgumentError } from "../native/errors.ts";
import type { NDArray } from "../ndarray/ndarray.ts";
import { describe } from "../ndarray/operands.ts";
import { tidy } from "../ndarray/scope.ts";
import { Module, SoftmaxLoss } from "../nn/index.ts";
import { modesOf } from "../nn/mode.ts";
import { clipGradNorm, type Optimizer } from "../optim/index.ts";

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

export interface LoopOptions {
  /** Default SoftmaxLoss. */
  lossFn?: LossFunction | undefined;
  /** Trains with it; without one the epoch only evaluates. */
  opt?: Optimizer | undefined;
  /** Scales the gradients so that their common norm is at most this. Default: they are left alone. */
  clip?: number | undefined;
  /** Stops after the running step: the epoch then throws the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** Throws ArgumentError unless a loop was given a model, and a loss and an optimizer that are such. */
export function checkLoop(operation: string, model: unknown, { lossFn, opt }: LoopOptions): void {
  if (!(model instanceof Module))
    throw new ArgumentError(operation, `the model must be a Module, not ${describe(model)}`);
  if (lossFn !== undefined && typeof lossFn?.forward !== "function") {
    const problem = `lossFn must have a method forward(logits, labels), unlike ${describe(lossFn)}`;
    throw new ArgumentError(operation, problem, { hint: "Give an object, such as new nn.SoftmaxLoss()" });
  }
  if (opt !== undefined && (typeof opt?.step !== "function" || typeof opt.zeroGrad !== "function"))
    throw new ArgumentError(operation, `opt must be an optimizer, such as new optim.SGD(…), not ${describe(opt)}`);
}

/** How good logits are. */
export interface Judgement {
  loss: Tensor;
  /** How many examples have their largest logit at the label, a scalar. */
  correct: NDArray;
}

/** What a forward pass gives. */
export interface Outcome<State> extends Judgement {
  /** What the model carries to the next step: all of this one that stays. */
  state: State;
}

/** What one step works on, made just before it. */
export interface Step<State> {
  inputs: readonly Tensor[];
  labels: Tensor;
  /** Whether these were made for the step, and are freed after it. */
  owned: boolean;
  /** Within a tidy. */
  forward(): Outcome<State>;
}

/** A loss of logits (N, K) and labels (N) int32. */
export interface LossFunction {
  forward(logits: Tensor, labels: Tensor): Tensor;
}

/** The loss of logits, by default SoftmaxLoss, and how many are right. */
export function judge(logits: Tensor, labels: Tensor, lossFn: LossFunction = new SoftmaxLoss()): Judgement {
  const loss = lossFn.forward(logits, labels);
  return { loss, correct: logits.data.argMax({ axes: 1 }).equal(labels.data).sum() };
}

export interface Loop<State> {
  operation: string;
  model: Module;
  /** How many steps there are. */
  steps: number;
  /** Its steps are made one by one, each when the one before is done. */
  each: Iterable<Step<State>>;
  onStep(report: StepReport, state: State): void;
}

/**
 * One pass: training if `opt` is given, else evaluation. Between steps each module is in the mode that it had before,
 * as somebody else may evaluate the same model then; a mode that `onStep` sets is the next steps'.
 */
export async function runEpoch<State>(
  { operation, model, steps, each, onStep }: Loop<State>,
  { opt, clip, signal }: Omit<LoopOptions, "lossFn">,
): Promise<EpochResult> {
  const learn = (loss: Tensor): void => {
    if (opt === undefined) return;
    opt.zeroGrad();
    loss.backward();
    if (clip !== undefined) clipGradNorm(opt.params, clip);
    opt.step();
  };
  const run = ({ forward }: Step<State>) =>
    tidy(() => {
      const { loss, correct, state } = forward();
      learn(loss);
      return { loss: loss.item(), correct: correct.item(), state };
    });
  let [step, examples, lossSum, correct] = [0, 0, 0, 0];
  const runStep = (next: Step<State>): void => {
    const n = next.labels.size;
    const batch = opt === undefined ? noGrad(() => run(next)) : run(next);
    if (next.owned) for (const used of [...next.inputs, next.labels]) used.dispose();
    examples += n;
    lossSum += batch.loss * n;
    correct += batch.correct;
    step++;
    const averages = { loss: lossSum / examples, accuracy: correct / examples };
    onStep({ step, steps, examples, ...averages, batchLoss: batch.loss }, batch.state);
  };

  const modes = modesOf(model);
  let during: readonly boolean[] | null = null;
  for (const next of each) {
    signal?.throwIfAborted();
    const between = modes.read();
    if (during === null) model.train(opt !== undefined);
    else modes.write(during);
    try {
      runStep(next);
    } finally {
      during = modes.read();
      modes.write(between);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  signal?.throwIfAborted();
  if (examples === 0) throw new ArgumentError(operation, "there were no batches");
  return { accuracy: correct / examples, loss: lossSum / examples };
}

/** A class of optimizers, such as optim.SGD. */
export type OptimizerClass = new (params: Iterable<Tensor>, options: { lr: number; weightDecay: number }) => Optimizer;

/** How many epochs, and how they train; each function that takes them says its defaults. */
export interface EpochsOptions {
  /** Default 1. */
  epochs?: number | undefined;
  /** Class of the optimizer. */
  optimizer?: OptimizerClass | undefined;
  lr?: number | undefined;
  weightDecay?: number | undefined;
  /** Called after every epoch, counted from 1. */
  onEpoch?: ((epoch: number, result: EpochResult) => void) | undefined;
}

export const EPOCHS_OPTIONS = ["epochs", "optimizer", "lr", "weightDecay", "onEpoch"] as const;

/** Runs some epochs with one optimizer; the averages of the last one. */
export async function runEpochs(
  operation: string,
  model: Module,
  { epochs = 1, onEpoch, ...options }: EpochsOptions,
  defaults: { optimizer: OptimizerClass; lr: number; weightDecay: number },
  epoch: (opt: Optimizer) => Promise<EpochResult>,
): Promise<EpochResult> {
  if (!Number.isInteger(epochs) || epochs < 1) {
    throw new ArgumentError(operation, `epochs must be a positive integer, not ${String(epochs)}`);
  }
  const { optimizer = defaults.optimizer, lr = defaults.lr, weightDecay = defaults.weightDecay } = options;
  checkLoop(operation, model, {});
  if (typeof optimizer !== "function")
    throw new ArgumentError(operation, `optimizer must be a class, such as optim.SGD, not ${describe(optimizer)}`);
  const opt = new optimizer(model.parameters(), { lr, weightDecay });
  let result: EpochResult = { accuracy: NaN, loss: NaN };
  for (let i = 1; i <= epochs; i++) {
    result = await epoch(opt);
    onEpoch?.(i, result);
  }
  return result;
}
