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
  /**
   * Of the losses of all examples: what the average is computed from, so that a resumed epoch has the same one, bit
   * for bit.
   */
  lossSum: number;
  /** Spent on training in this epoch. */
  seconds: number;
}

export const START: Position = { epoch: 0, step: 0, examples: 0, loss: 0, accuracy: 0, lossSum: 0, seconds: 0 };

export const readPosition = (saved: SavedState): Position => ({
  epoch: saved.count("epoch"),
  step: saved.count("step"),
  examples: saved.count("examples"),
  loss: saved.figure("loss"),
  accuracy: saved.number("accuracy"),
  lossSum: saved.has("lossSum") ? saved.figure("lossSum") : saved.figure("loss") * saved.count("examples"),
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
 * Runs what is left of an epoch after `start`. `train` reports its own steps; `onStep` gets, for each, the position
 * that they lead to, with averages over the whole epoch.
 */
export async function followEpoch<Report extends StepReport>(
  { start, title, unit, total, progress: show, figures }: Followed,
  onStep: (position: Position, report: Report) => void,
  train: (onStep: (report: Report) => void) => Promise<unknown>,
): Promise<void> {
  const progress = show ? showProgress({ title, unit, total, from: start.examples }) : silent;
  const began = performance.now();
  try {
    let { lossSum, examples } = start;
    const right = Math.round(start.accuracy * start.examples);
    await train((report) => {
      lossSum += report.batchLoss * (start.examples + report.examples - examples);
      examples = start.examples + report.examples;
      const position = {
        epoch: start.epoch,
        step: start.step + report.step,
        examples,
        loss: lossSum / examples,
        accuracy: (right + Math.round(report.accuracy * report.examples)) / examples,
        lossSum,
        seconds: start.seconds + (performance.now() - began) / 1000,
      };
      onStep(position, report);
      progress.update(examples, figures(position));
    });
  } finally {
    progress.stop();
  }
}
