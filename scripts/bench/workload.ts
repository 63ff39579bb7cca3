/** What a group of the benchmark consists of: cases, each one workload that thimble and its peers run. */
import type { PeerName } from "./peers.ts";

/** PyTorch with both memory formats, where images have one. */
export const TORCH: readonly PeerName[] = ["torch", "torch-channels-last"];

/** A workload, ready to run in this process. */
export interface Workload {
  /** Once. */
  run(): void;
  /** What the first run gives, to compare with the peers'. */
  values(): number[];
  /** Waits for what `run` started, where that does not do it itself: on a device that works asynchronously. */
  finish?(): void;
}

export interface Case {
  /** As the table names it. */
  readonly name: string;
  /** As the peers get it, such as `matmul 1 64 64 64 0 0`. */
  readonly workload: string;
  readonly peers: readonly PeerName[];
  /** Least arithmetic and traffic of one run, for the roofline. */
  readonly flops?: number;
  readonly bytes?: number;
  /** Images or words in one run, for throughputs. */
  readonly items?: { readonly count: number; readonly unit: string };
  /** Milliseconds of warm-up, where 400 are too few: a whole training step is much to compile. */
  readonly warmUp?: number;
  /** Whether the quick benchmark has it. */
  readonly quick?: boolean;
  prepare(): Workload;
}

/** A group of cases that are timed against peers. */
export interface Group {
  readonly name: string;
  readonly title: string;
  cases(): Case[];
}
