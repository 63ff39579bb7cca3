/** Figures of fresh processes: how long importing takes, and how much memory a training run holds at most. */
import { join } from "node:path";

import { root } from "../../toolchain.ts";
import { peerEnvironment, python, torchPeer } from "../peers.ts";
import type { Report } from "../report.ts";
import { median } from "../statistics.ts";
import type { Cell } from "../table.ts";

interface Finished {
  ms: number;
  peakMegabytes: number;
}

/** Runs a program to its end; null when it fails: what it needs is not there. */
function finish(command: string[], threads: number, input = ""): Finished | null {
  const start = performance.now();
  const child = Bun.spawnSync(command, {
    cwd: root,
    stdin: Buffer.from(input),
    stdout: "ignore",
    stderr: "ignore",
    env: peerEnvironment(threads),
  });
  const ms = performance.now() - start;
  return child.exitCode === 0 ? { ms, peakMegabytes: child.resourceUsage.maxRSS / 2 ** 20 } : null;
}

const library = JSON.stringify(join(root, "lib/index.ts"));

export const startup: Report = {
  name: "import",
  title: "Start of a process until the first array is there",
  async run({ threads, effort }) {
    const programs: [title: string, command: string[]][] = [
      ["Bun alone", [process.execPath, "-e", "0"]],
      ["Bun with thimble", [process.execPath, "-e", `const { tensor } = await import(${library}); tensor([1]).item()`]],
      ["Python alone", [python(), "-c", "0"]],
      ["Python with PyTorch", [python(), "-c", "import torch; torch.tensor([1]).item()"]],
    ];
    const times = programs.map((): number[] => []);
    for (let round = 0; round <= effort.rounds; round++) {
      programs.forEach(([, command], i) => {
        const finished = finish(command, threads);
        if (finished !== null && round > 0) times[i]!.push(finished.ms); // the first reads the files into the cache
      });
    }
    const rows = programs.map(([title], i): Cell[] => {
      const found = times[i]!;
      return [title, found.length === 0 ? null : median(found), found.length === 0 ? "not installed" : ""];
    });
    return { header: ["", "ms", ""], rows, note: "Medians of whole processes, files in the system's cache." };
  },
};

const STEPS = 60;

export const memory: Report = {
  name: "memory",
  title: `Peak resident memory of ${STEPS} ResNet-9 training steps, batch 128`,
  async run({ threads }) {
    const steps = JSON.stringify(join(import.meta.dirname, "resnet9.ts"));
    const own = `const { trainingStep } = await import(${steps}); const step = trainingStep(128); for (let i = 0; i < ${STEPS}; i++) step()`;
    const programs: [title: string, command: string[], input: string][] = [
      ["Bun alone", [process.execPath, "-e", "0"], ""],
      ["thimble", [process.execPath, "-e", own], ""],
      ["PyTorch", torchPeer(threads, "contiguous"), `prepare resnet9 train 128\nrun ${STEPS} 1\n`],
      ["PyTorch, channels-last", torchPeer(threads, "channels-last"), `prepare resnet9 train 128\nrun ${STEPS} 1\n`],
    ];
    const rows = programs.map(([title, command, input]): Cell[] => {
      const finished = finish(command, threads, input);
      return [title, finished?.peakMegabytes ?? null, finished === null ? "not installed" : ""];
    });
    return { header: ["", "MB", ""], rows, note: "Of fresh processes, libraries and runtime included." };
  },
};
