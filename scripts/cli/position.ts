/** How far a run is, and following an epoch from there: its averages, its speed, and the progress that is shown. */
import type { StepReport } from "../../lib/training/index.ts";
import { showProgress, silent } from "./progress.ts";
import type { SavedState } from "./saved-state.ts";

/** How far a run is, and the averages of the epoch so far. */
export interface Position {
  /** Epochs that are done. */
  epoch: number;
  /** Steps and examples that are done in the next one. */
  step: number;
  examples: number;
  loss: number;
  accuracy: number;
  /** Spent on training in this epoch. */
  seconds: number;
}

export const START: Position = { epoch: 0, step: 0, examples: 0, loss: 0, accuracy: 0, seconds: 0 };

export const readPosition = (saved: SavedState): Position => ({
  epoch: saved.count("epoch"),
  step: saved.count("step"),
  examples: saved.count("examples"),
  loss: saved.number("loss"),
  accuracy: saved.number("accuracy"),
  seconds: saved.number("seconds"),
});

export interface Followed {
  start: Position;
  title: string;
  /** What an example is: "images". */
  unit: string;
  /** Examples in the whole epoch. */
  total: number;
  /** Whether to show progress, and with which figures. */
  progress: boolean;
  figures(position: Position): string;
}

/**
 * Runs what is left of an epoch after `start`. `train` reports its own steps; `onStep` gets, for each, the position that
 * they lead to, with averages over the whole epoch.
 */
export async function followEpoch<Report extends StepReport>(
  { start, title, unit, total, progress: show, figures }: Followed,
  onStep: (position: Position, report: Report) => void,
  train: (onStep: (report: Report) => void) => Promise<unknown>,
): Promise<void> {
  const progress = show ? showProgress({ title, unit, total, from: start.examples }) : silent;
  const began = performance.now();
  try {
    await train((report) => {
      const examples = start.examples + report.examples;
      const average = (before: number, since: number) => (before * start.examples + since * report.examples) / examples;
      const position = {
        epoch: start.epoch,
        step: start.step + report.step,
        examples,
        loss: average(start.loss, report.loss),
        accuracy: average(start.accuracy, report.accuracy),
        seconds: start.seconds + (performance.now() - began) / 1000,
      };
      onStep(position, report);
      progress.update(examples, figures(position));
    });
  } finally {
    progress.stop();
  }
}
