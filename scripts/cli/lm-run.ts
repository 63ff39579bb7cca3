/** What train-lm saves besides the model: its options, its words, how far it got, and the state that it carries. */
import { Dictionary } from "../../datasets/index.ts";
import {
  type Json,
  loadCheckpoint,
  readCheckpointArrays,
  saveCheckpoint,
  type Training,
} from "../../lib/checkpoint/index.ts";
import { CheckpointError, type Device, Tensor } from "../../lib/index.ts";
import { type HiddenState, tensorsOf } from "../../lib/training/index.ts";
import { LanguageModel } from "../../models/index.ts";
import { type Position, readPosition, START } from "./position.ts";
import { SavedState } from "./saved-state.ts";

export const modelNames = ["rnn", "lstm", "gru"] as const;

/** The options on which the numbers depend. */
export interface RunOptions {
  model: (typeof modelNames)[number];
  embed: number;
  hidden: number;
  layers: number;
  dropout: number;
  tieWeights: boolean;
  /** All that the run is to have. */
  epochs: number;
  batchSize: number;
  bptt: number;
  /** Of the first epoch. */
  lr: number;
  lrDecay: number;
  clip: number;
  seed: number;
}

/** These options among others. */
export const pickRun = (options: RunOptions): RunOptions => {
  const { model, embed, hidden, layers, dropout, tieWeights, epochs, batchSize, bptt, lr, lrDecay, clip, seed } =
    options;
  return { model, embed, hidden, layers, dropout, tieWeights, epochs, batchSize, bptt, lr, lrDecay, clip, seed };
};

/** Those that may differ when a run is resumed. */
export const freeOptions = ["epochs", "lr", "lrDecay", "clip"] as const;

/** How far a run is. Within an epoch its step is a chunk, and its examples are words. */
export interface TextPosition extends Position {
  /** Learning rate of this epoch. */
  lr: number;
  /** The lowest validation loss so far; null before the first. */
  best: number | null;
  /** What is carried to the next chunk; null at the beginning of an epoch. */
  carried: HiddenState | null;
}

export const startAt = (lr: number): TextPosition => ({ ...START, lr, best: null, carried: null });

/** Where the next epoch starts: with the rate divided by `lrDecay` unless the validation loss is the lowest so far. */
export function nextEpoch({ epoch, lr, best }: TextPosition, validLoss: number, lrDecay: number): TextPosition {
  const improved = best === null || validLoss < best;
  return { ...startAt(improved ? lr : lr / lrDecay), epoch: epoch + 1, best: improved ? validLoss : best };
}

/** The texts' name, and the number of training words. */
export interface Identity {
  name: string;
  words: number;
}

export interface SavedRun {
  run: RunOptions;
  position: TextPosition;
  data: Identity;
  /** All words, by id. */
  vocabulary: readonly string[];
}

/** A model for a vocabulary as the options want it. */
export const makeModel = (run: RunOptions, words: number, device: Device): LanguageModel => {
  const { model: seqModel, layers: numLayers, dropout, tieWeights } = run;
  return new LanguageModel(run.embed, words, run.hidden, { seqModel, numLayers, dropout, tieWeights, device });
};

export function saveRun(file: string, training: Training, { run, position, data, vocabulary }: SavedRun): void {
  const { carried, ...place } = position;
  const states = carried === null ? [] : tensorsOf(carried);
  const arrays = Object.fromEntries(states.map((state, i) => [`hidden.${i}`, state.data]));
  const state: Json = { run: { ...run }, position: place, data: { ...data }, vocabulary };
  saveCheckpoint(file, { ...training, arrays }, state);
}

/** What a checkpoint holds, without its model. @throws CheckpointError when it is not one of this script. */
export function readRun(file: string, device: Device): SavedRun {
  const state = SavedState.read(file, "train-lm");
  const run = state.child("run");
  const position = state.child("position");
  const data = state.child("data");
  return {
    run: {
      model: run.choice("model", modelNames),
      embed: run.count("embed", 1),
      hidden: run.count("hidden", 1),
      layers: run.count("layers", 1),
      dropout: run.number("dropout"),
      tieWeights: run.flag("tieWeights"),
      epochs: run.count("epochs"),
      batchSize: run.count("batchSize", 1),
      bptt: run.count("bptt", 1),
      lr: run.number("lr"),
      lrDecay: run.number("lrDecay"),
      clip: run.number("clip"),
      seed: run.count("seed"),
    },
    position: {
      ...readPosition(position),
      lr: position.number("lr"),
      best: position.figureOrNull("best"),
      carried: readCarried(file, device),
    },
    data: { name: data.text("name"), words: data.count("words") },
    vocabulary: state.texts("vocabulary"),
  };
}

function readCarried(file: string, device: Device): HiddenState | null {
  const arrays = Object.values(readCheckpointArrays(file));
  const [h, c, ...others] = arrays.map((array) => new Tensor(array.to({ device })));
  if (h === undefined) return null;
  if (others.length > 0) throw new CheckpointError(file, `it has ${arrays.length} hidden states; expected at most 2`);
  return c === undefined ? h : [h, c];
}

/** The model of a checkpoint, to be used and not trained, with its words. */
export function loadModel(file: string, device: Device): { model: LanguageModel; dictionary: Dictionary } {
  const { run, vocabulary } = readRun(file, device);
  const dictionary = new Dictionary();
  for (const word of vocabulary) dictionary.addWord(word);
  const model = makeModel(run, vocabulary.length, device);
  loadCheckpoint(file, { model });
  return { model: model.eval(), dictionary };
}
