/**
 * Times one case: rounds in which the contestants take turns, so that whatever else the machine does meets all of them
 * alike. Between turns everyone sleeps until the threads of the one before have stopped spinning.
 */
import { readFileSync } from "node:fs";

import { agree } from "./fill.ts";
import { median } from "./statistics.ts";
import type { Contestant } from "./peer.ts";

export interface Effort {
  rounds: number;
  /** Milliseconds that each contestant runs in a round, about. */
  budget: number;
  /** Milliseconds before the first turn. Default 400: just-in-time compilers need hundreds of runs. */
  warmUp?: number | undefined;
}

export interface Timing {
  name: string;
  ms: number;
  /** Too slow in the warm-up to be the best peer, so `ms` is from that. */
  dropped?: true;
  /** Whether it computed the same values as thimble. */
  agrees: boolean;
}

/** Milliseconds between turns: what most idle threads spin before they sleep. */
const PAUSE = 30;
/** Milliseconds until a turn begins beside whatever else runs. Some idle threads spin for 0.1 s. */
const LONGEST_PAUSE = 300;
/** A peer that is this much slower than the fastest one in the warm-up is not timed further. */
const HOPELESS = 2;
/** Samples of a turn, however long one takes. */
const FEWEST = 3;
/** Milliseconds at the beginning of a turn that do not count: others' data is in the caches, and the clocks are low. */
const WARM_UP = 40;
/** Runs shorter than this are repeated within a sample: clocks and pipes have noise of their own. */
const SAMPLE_MS = 1;

/** The first contestant is ours. Those who do not have the workload are left out. */
export async function timeCase(
  contestants: readonly Contestant[],
  workload: string,
  effort: Effort,
): Promise<Timing[]> {
  const runners: { contestant: Contestant; agrees: boolean; estimate: number; times: number[] }[] = [];
  let expected: number[] | null = null;
  for (const contestant of contestants) {
    const values = await contestant.prepare(workload);
    if (values === null) continue;
    expected ??= values;
    const estimate = await warmUp(contestant, effort.warmUp ?? 400);
    runners.push({ contestant, agrees: agree(expected, values), estimate, times: [] });
    await quiet();
  }
  const fastest = Math.min(...runners.slice(1).map(({ estimate }) => estimate));
  const timed = runners.filter(({ estimate }, i) => i === 0 || estimate <= HOPELESS * fastest);
  for (let round = 0; round < effort.rounds; round++) {
    for (const { contestant, estimate, times } of timed) {
      const repeats = Math.max(1, Math.ceil(SAMPLE_MS / estimate));
      const samples = Math.min(20, Math.max(FEWEST, Math.round(effort.budget / (repeats * estimate))));
      const cold = Math.min(100, Math.ceil(WARM_UP / (repeats * estimate)));
      times.push(...(await contestant.time(cold + samples, repeats)).slice(cold));
      await quiet();
    }
  }
  return runners.map(({ contestant: { name }, agrees, estimate, times }) =>
    times.length > 0 ? { name, ms: median(times), agrees } : { name, ms: estimate, dropped: true, agrees },
  );
}

/** Sleeps until no thread but this one is running, here or in a peer. */
async function quiet(): Promise<void> {
  const end = performance.now() + LONGEST_PAUSE;
  do await Bun.sleep(PAUSE);
  while (running() > 1 && performance.now() < end);
}

/** The threads of the whole machine that run or wait for a processor; 1 where the system does not tell. */
function running(): number {
  if (process.platform !== "linux") return 1;
  return Number(/ (\d+)\//.exec(readFileSync("/proc/loadavg", "utf8"))?.[1] ?? 1);
}

/** Runs for about `budget` ms, so that caches, thread pools and just-in-time compilers are warm; the last estimate. */
async function warmUp(contestant: Contestant, budget: number): Promise<number> {
  let estimate = (await contestant.time(1, 1))[0]!;
  if (estimate > 10 * budget) return estimate; // what takes this long is as warm as it gets
  const end = performance.now() + budget;
  do {
    const repeats = Math.max(1, Math.ceil(SAMPLE_MS / Math.max(estimate, 1e-6)));
    const samples = Math.min(10, Math.max(1, Math.round(budget / (4 * repeats * estimate))));
    estimate = median(await contestant.time(samples, repeats));
  } while (performance.now() < end);
  return estimate;
}
