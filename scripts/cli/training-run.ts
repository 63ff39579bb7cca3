/** What a training command does around its epochs: stop and save, log, report, plot; and the options of all of them. */
import { cpu, cuda, type Device, ThimbleError } from "../../lib/index.ts";
import { JsonLines } from "./json-lines.ts";
import { prepareOutput } from "./output.ts";
import { plotText } from "./plot.ts";
import type { Position } from "./position.ts";
import { profileInto } from "./profile.ts";
import type { Stop } from "./stop.ts";

/** Options that every training command has. */
export const commonOptions = {
  seed: { type: "integer", default: 0, min: 0, max: 2 ** 31 - 1, help: "Makes a run repeat bit for bit" },
  threads: { type: "integer", min: 1, max: 1024, help: "Threads of a kernel; default: all processors" },
  device: { type: "choice", of: ["cpu", "cuda"], default: "cpu", help: "Where to compute" },
  checkpoint: { type: "text", value: "FILE", help: "Save everything there after each epoch, and when stopped" },
  log: { type: "text", value: "FILE.jsonl", help: "Write one line of JSON an epoch" },
  profile: {
    type: "text",
    value: "FILE.json",
    help: "Print where the time goes, and write a trace that Perfetto opens",
  },
  progress: { type: "flag", default: true, help: "Live progress on a terminal, or lines where it is piped" },
} as const;

/** The device that the options ask for, with as many threads. */
export function pickDevice({
  device: name,
  threads,
}: {
  device: "cpu" | "cuda";
  threads?: number | undefined;
}): Device {
  const device = name === "cuda" ? cuda() : cpu();
  if (threads !== undefined) device.threads = threads;
  return device;
}

/** What an epoch leaves: the place where the next one starts, a line of the log, and one to print. */
export interface EpochEnd<P extends Position> {
  next: P;
  entry: Record<string, string | number>;
  line: string;
}

export interface TrainingRun<P extends Position> {
  start: P;
  epochs: number;
  /** Of an epoch. */
  steps: number;
  device: Device;
  signal: AbortSignal;
  checkpoint?: string | undefined;
  log?: string | undefined;
  /** Where a trace of all native calls goes; none is made without. */
  profile?: string | undefined;
  /** Trains what is left of an epoch, and calls `onStep` with each new position and that batch's loss. */
  train(from: P, onStep: (position: P, batchLoss: number) => void): Promise<void>;
  /** Evaluates what an epoch has made. */
  finish(trained: P): Promise<EpochEnd<P>>;
  save(file: string, position: P): void;
}

/** Runs the epochs that are left. A stop is no error: it saves where the run is, and ends with exit code 130. */
export async function runTraining<P extends Position>(run: TrainingRun<P>): Promise<void> {
  const { start, epochs, steps, device, signal, checkpoint } = run;
  if (checkpoint !== undefined) prepareOutput(checkpoint);
  const losses: number[] = [];
  const log = run.log === undefined ? null : new JsonLines(run.log, start.epoch);
  const common = () => ({ device: `${device}`, threads: device.threads, residentBytes: process.memoryUsage.rss() });
  const finishProfile = profileInto(run.profile, device);
  let position = start;
  try {
    while (position.epoch < epochs) {
      const epoch = position.epoch + 1;
      if (position.step < steps) {
        await run.train(position, (now, batchLoss) => {
          position = now;
          losses.push(batchLoss);
        });
      } // else it was stopped between training and evaluation
      const { next, entry, line } = await run.finish(position);
      position = next;
      console.log(`epoch ${epoch}/${epochs}  ${line}`);
      if (checkpoint !== undefined) run.save(checkpoint, position);
      log?.write({ ...entry, ...common() });
    }
  } catch (error) {
    if (error !== signal.reason) throw error;
    if (checkpoint !== undefined) run.save(checkpoint, position);
    const where = `Stopped in epoch ${position.epoch + 1} after ${position.step} of ${steps} steps`;
    console.log(checkpoint === undefined ? where : `${where}, and saved. To go on: --resume ${checkpoint}`);
    process.exitCode = 130;
    return;
  } finally {
    await finishProfile();
  }
  if (start.epoch >= epochs) console.log(`All ${start.epoch} epochs are done already: --epochs sets how many.`);
  const plot = plotText(losses, { title: `Training loss from epoch ${start.epoch + 1} to ${epochs}` });
  if (plot !== "") console.log(`\n${plot}`);
}

/** Runs a command: what thimble's errors say is one line on standard error, and exit code 1. */
export async function runCommand(stop: Stop, main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof ThimbleError) && !isSystemError(error)) throw error;
    console.error(`${error.name}: ${error.message}`);
    process.exitCode = stop.signal.aborted ? 130 : 1;
  }
  stop.release();
}

/** What the system refuses, such as a full disk behind standard output. */
const isSystemError = (error: unknown): error is NodeJS.ErrnoException => error instanceof Error && "syscall" in error;
