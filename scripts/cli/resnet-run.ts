/** What train-resnet saves besides the model and the optimizer: its options, and how far it got. */
import type { Json } from "../../lib/checkpoint/index.ts";
import { type Position, readPosition } from "./position.ts";
import { SavedState } from "./saved-state.ts";

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

export interface SavedRun {
  run: RunOptions;
  position: Position;
  /** The data set's name and number of training images. */
  data: { name: string; images: number };
}

/** The state as saveCheckpoint takes it. */
export const toJson = ({ run, position, data }: SavedRun): Json => ({
  run: { ...run },
  position: { ...position },
  data: { ...data },
});

/** The state in a checkpoint. @throws CheckpointError when it is not one of this script. */
export function readRun(file: string): SavedRun {
  const state = SavedState.read(file, "train-resnet");
  const run = state.child("run");
  const data = state.child("data");
  return {
    run: {
      epochs: run.count("epochs"),
      batchSize: run.count("batchSize", 1),
      optimizer: run.choice("optimizer", ["adam", "sgd"]),
      lr: run.number("lr"),
      weightDecay: run.number("weightDecay"),
      schedule: run.choice("schedule", scheduleNames),
      augment: run.flag("augment"),
      seed: run.count("seed"),
    },
    position: readPosition(state.child("position")),
    data: { name: data.text("name"), images: data.count("images") },
  };
}
