/** What the training script saves besides the model and the optimizer: its options, and how far it got. */
import { type Json, readCheckpointState } from "../../lib/checkpoint/index.ts";
import { CheckpointError } from "../../lib/index.ts";

/** The options on which the numbers depend. */
export interface RunOptions {
  /** All that the run is to have. */
  epochs: number;
  batchSize: number;
  optimizer: "adam" | "sgd";
  lr: number;
  weightDecay: number;
  schedule: ScheduleName;
  augment: boolean;
  seed: number;
}

export const scheduleNames = ["constant", "cosine", "one-cycle"] as const;
export type ScheduleName = (typeof scheduleNames)[number];

/** These options among others. */
export const pickRun = (options: RunOptions): RunOptions => {
  const { epochs, batchSize, optimizer, lr, weightDecay, schedule, augment, seed } = options;
  return { epochs, batchSize, optimizer, lr, weightDecay, schedule, augment, seed };
};

/** How far a run is, and the averages of the epoch so far. */
export interface Position {
  /** Epochs that are done. */
  epoch: number;
  /** Steps and images that are done in the next one. */
  step: number;
  examples: number;
  loss: number;
  accuracy: number;
  /** Spent on training in this epoch. */
  seconds: number;
}

export interface SavedRun {
  run: RunOptions;
  position: Position;
  /** The data set's name and number of training images. */
  data: { name: string; images: number };
}

export const START: Position = { epoch: 0, step: 0, examples: 0, loss: 0, accuracy: 0, seconds: 0 };

/** The state as saveCheckpoint takes it. */
export const toJson = ({ run, position, data }: SavedRun): Json => ({
  run: { ...run },
  position: { ...position },
  data: { ...data },
});

/** The state in a checkpoint. @throws CheckpointError when it is not one of this script. */
export function readRun(file: string): SavedRun {
  const refuse = (key: string): never => {
    throw new CheckpointError(file, `its state has no usable '${key}'`, { hint: "It must be a file of train-resnet" });
  };
  const child = (parent: Json | undefined, key: string): { readonly [key: string]: Json | undefined } => {
    const value = isRecord(parent) ? parent[key] : undefined;
    return isRecord(value) ? value : refuse(key);
  };
  const state = readCheckpointState(file);
  const [run, position, data] = [child(state, "run"), child(state, "position"), child(state, "data")];
  const number = (value: Json | undefined, key: string) =>
    typeof value === "number" && value >= 0 ? value : refuse(key);
  const count = (value: Json | undefined, key: string) =>
    Number.isSafeInteger(value) ? number(value, key) : refuse(key);
  const { optimizer, augment } = run;
  const schedule = scheduleNames.find((name) => name === run.schedule);
  return {
    run: {
      epochs: count(run.epochs, "epochs"),
      batchSize: count(run.batchSize, "batchSize") || refuse("batchSize"),
      optimizer: optimizer === "adam" || optimizer === "sgd" ? optimizer : refuse("optimizer"),
      lr: number(run.lr, "lr"),
      weightDecay: number(run.weightDecay, "weightDecay"),
      schedule: schedule ?? refuse("schedule"),
      augment: typeof augment === "boolean" ? augment : refuse("augment"),
      seed: count(run.seed, "seed"),
    },
    position: {
      epoch: count(position.epoch, "epoch"),
      step: count(position.step, "step"),
      examples: count(position.examples, "examples"),
      loss: number(position.loss, "loss"),
      accuracy: number(position.accuracy, "accuracy"),
      seconds: number(position.seconds, "seconds"),
    },
    data: { name: typeof data.name === "string" ? data.name : refuse("name"), images: count(data.images, "images") },
  };
}

/**
 * The options of a resumed run: the saved ones, but epochs, learning rate and weight decay as on the command line if given.
 * @throws CheckpointError when another option was given and differs: the steps would not fit together.
 */
export function mergeOptions(
  file: string,
  saved: RunOptions,
  options: RunOptions,
  given: ReadonlySet<string>,
): RunOptions {
  for (const key of ["batchSize", "optimizer", "schedule", "augment", "seed"] as const) {
    if (!given.has(key) || options[key] === saved[key]) continue;
    throw new CheckpointError(file, `the run was made with ${key} ${saved[key]}, not ${options[key]}`, {
      hint: "Leave the option out, or start anew without --resume",
    });
  }
  return {
    ...saved,
    epochs: given.has("epochs") ? options.epochs : saved.epochs,
    lr: given.has("lr") ? options.lr : saved.lr,
    weightDecay: given.has("weightDecay") ? options.weightDecay : saved.weightDecay,
  };
}

const isRecord = (value: Json | undefined): value is { readonly [key: string]: Json | undefined } =>
  typeof value === "object" && value !== null && !Array.isArray(value);
