/**
 * Training and evaluation of word-level language models, as the homework names them: truncated backpropagation through
 * time. A text is read in chunks; the hidden state goes from chunk to chunk, gradients do not.
 */
import { Tensor } from "../autograd/tensor.ts";
import { getBatch } from "../data/chunks.ts";
import { ArgumentError } from "../native/errors.ts";
import { standsFor } from "../native/prototype.ts";
import type { Device } from "../ndarray/device.ts";
import type { DType } from "../ndarray/dtype.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { describe } from "../ndarray/operands.ts";
import { checkOptions } from "../ndarray/options.ts";
import type { LSTMState, Module } from "../nn/index.ts";
import { SGD } from "../optim/index.ts";
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

/** What a recurrent network carries on: h, or h and c of an LSTM, each (numLayers, N, hidden). */
export type HiddenState = Tensor | LSTMState;

/** What is trained: words (L, N) int32, and the state before them, to logits (L · N, K) and the state behind them. */
export type SequenceModel = Module & {
  forward(x: Tensor, h?: HiddenState | null): readonly [logits: Tensor, h: HiddenState];
  /**
   * The softmax loss of the same, labels (L · N): where a model has it, it is used unless another loss is asked for.
   */
  crossEntropy?(x: Tensor, labels: Tensor, h?: HiddenState | null): SequenceLoss;
};

export interface SequenceLoss {
  /** The mean over all words, a scalar. */
  loss: Tensor;
  /** How many words have their largest logit at the label, a scalar. */
  correct: Tensor;
  /** The state behind the words. */
  state: HiddenState;
}

/** Averages over the words so far; `examples` counts the words. */
export interface ChunkReport extends StepReport {
  /** The chunks of the epoch that are done, those before `start` included. */
  chunk: number;
  /** Carried to the next chunk. Valid until that is done; the last one as long as someone holds it. */
  hidden: HiddenState;
}

export interface PtbOptions extends Omit<LoopOptions, "opt"> {
  /** Words of a column in a chunk: how far gradients go back. Default 40. */
  seqLen?: number | undefined;
  /** Taken as the homework's functions take them, and not used: the model and the data say where and what they are. */
  device?: Device | undefined;
  dtype?: DType | undefined;
  /** Called after every chunk: for progress, to set `opt.lr` for the next one, or to save where the epoch is. */
  onStep?: ((report: ChunkReport) => void) | undefined;
}

export interface PtbEpochOptions extends PtbOptions, Pick<LoopOptions, "opt"> {
  /**
   * Goes on within an epoch, after `chunk` chunks and with their last state: with what a ChunkReport had, the rest is
   * the same bit for bit. The averages are then those of the rest. Default: the beginning, with no state.
   */
  start?: { chunk: number; hidden: HiddenState | null } | undefined;
}

const PTB_OPTIONS = ["seqLen", "onStep", "lossFn", "clip", "signal", "device", "dtype"] as const;

/** Chunks of `seqLen` rows that a text has, as batchify cut it: the last word of a column is a label only. */
export const chunksOf = (data: NDArray, seqLen: number): number => Math.ceil((data.shape[0]! - 1) / seqLen);

/**
 * One pass over a text: training if `opt` is given, else evaluation. Between steps each module is in the mode that it
 * had before.
 * @param data (rows, N) int32, as batchify makes it.
 */
export async function epochGeneralPtb(
  data: NDArray,
  model: SequenceModel,
  options: PtbEpochOptions = {},
): Promise<EpochResult> {
  checkOptions("epochGeneralPtb", options, [...PTB_OPTIONS, "opt", "start"]);
  checkLoop("epochGeneralPtb", model, options);
  const { seqLen = 40, start = { chunk: 0, hidden: null }, onStep, lossFn, opt, clip, signal } = options;
  const chunks = checkText("epochGeneralPtb", data, seqLen);
  if (!Number.isInteger(start.chunk) || start.chunk < 0 || start.chunk >= chunks) {
    throw new ArgumentError("epochGeneralPtb", `start.chunk ${String(start.chunk)} is outside [0, ${chunks})`);
  }
  let { hidden } = start;
  function* steps() {
    for (let chunk = start.chunk; chunk < chunks; chunk++) {
      const [x, labels] = getBatch(data, chunk * seqLen, seqLen);
      const forward = (): Outcome<HiddenState> => {
        if (lossFn === undefined && model.crossEntropy !== undefined && standsFor(model, "crossEntropy", "forward")) {
          const { loss, correct, state } = model.crossEntropy(x, labels, hidden);
          return { loss, correct: correct.data, state: detachState(state) };
        }
        const [logits, state] = checkOutput(model.forward(x, hidden));
        return { ...judge(logits, labels, lossFn), state: detachState(state) };
      };
      yield { inputs: [x], labels, owned: true, forward };
    }
  }
  const loop = { operation: "epochGeneralPtb", model, steps: chunks - start.chunk, each: steps() };
  const advance = (report: StepReport, next: HiddenState): void => {
    if (hidden !== null && hidden !== start.hidden) for (const each of tensorsOf(hidden)) each.dispose();
    hidden = next;
    onStep?.({ ...report, chunk: start.chunk + report.step, hidden });
  };
  return runEpoch({ ...loop, onStep: advance }, { opt, clip, signal });
}

/** Default: SGD, lr 4, no weight decay. */
export interface PtbTrainOptions extends PtbOptions, EpochsOptions {}

/** Trains for some epochs, each from the text's beginning with no state; the averages of the last one. */
export async function trainPtb(
  model: SequenceModel,
  data: NDArray,
  options: PtbTrainOptions = {},
): Promise<EpochResult> {
  checkOptions("trainPtb", options, [...PTB_OPTIONS, ...EPOCHS_OPTIONS]);
  const { epochs, optimizer, lr, weightDecay, onEpoch, ...rest } = options;
  const plan = { epochs, optimizer, lr, weightDecay, onEpoch };
  const defaults = { optimizer: SGD, lr: 4, weightDecay: 0 };
  return runEpochs("trainPtb", model, plan, defaults, (opt) => epochGeneralPtb(data, model, { ...rest, opt }));
}

/** Average accuracy and loss without training; the perplexity is exp(loss). */
export async function evaluatePtb(model: SequenceModel, data: NDArray, options: PtbOptions = {}): Promise<EpochResult> {
  return epochGeneralPtb(data, model, checkOptions("evaluatePtb", options, PTB_OPTIONS));
}

/** The tensors that a state consists of. */
export const tensorsOf = (state: HiddenState): readonly Tensor[] => (state instanceof Tensor ? [state] : state);

/** Throws unless a model of the caller's own gave what it should. */
function checkOutput(output: readonly [Tensor, HiddenState]): readonly [Tensor, HiddenState] {
  if (Array.isArray(output) && output.length === 2 && output[0] instanceof Tensor && isState(output[1])) return output;
  const found = Array.isArray(output) ? `[${output.map(describe).join(", ")}]` : describe(output);
  const hint = "The state is a tensor or a pair [h, c] of them";
  throw new ArgumentError("epochGeneralPtb", `the model must return [logits, state], not ${found}`, { hint });
}

const isState = (state: unknown): state is HiddenState =>
  state instanceof Tensor || (Array.isArray(state) && state.length === 2 && state.every((s) => s instanceof Tensor));

/** The same state without history: what the next chunk starts from. */
export function detachState(state: HiddenState): HiddenState {
  if (state instanceof Tensor) return state.detach();
  const [h, c] = state;
  return [h.detach(), c.detach()];
}

/** The number of chunks. @throws ArgumentError for what batchify did not make. */
function checkText(operation: string, data: NDArray, seqLen: number): number {
  if (
    !(data instanceof NDArray) ||
    data.ndim !== 2 ||
    data.dtype !== "int32" ||
    data.shape[0]! < 2 ||
    data.size === 0
  ) {
    const given = data instanceof NDArray ? { shapes: [data.shape] } : {};
    throw new ArgumentError(operation, "takes ids (rows, columns) int32 of at least two rows", {
      ...given,
      hint: "batchify(ids, batchSize) makes them",
    });
  }
  if (!Number.isInteger(seqLen) || seqLen < 1) {
    throw new ArgumentError(operation, `seqLen must be a positive integer, not ${String(seqLen)}`);
  }
  return chunksOf(data, seqLen);
}
