/** Figures of fresh processes: how long importing takes, and how much memory a training run holds at most. */
import { join } from "node:path";

import { root } from "../../toolchain.ts";
import { peerEnvironment, python, torchPeer } from "../peers.ts";
import type { Report } from "../report.ts";
import { median } from "../statistics.ts";
import type { Cell } from "../table.ts";

/** Runs a program to its end: its time and its last line; null when it fails: what it needs is not there. */
function finish(command: string[], threads: number, input = ""): { ms: number; last: string } | null {
  const start = performance.now();
  const child = Bun.spawnSync(command, {
    cwd: root,
    stdin: Buffer.from(input),
    stderr: "ignore",
    env: peerEnvironment(threads),
  });
  const ms = performance.now() - start;
  return child.exitCode === 0 ? { ms, last: child.stdout.toString().trim().split("\n").at(-1) ?? "" } : null;
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
/** A process's own peak, from Linux: what the system tells the parent counts the parent's memory before exec. */
const REPORT_PEAK = `console.log(/VmHWM:\\s*(\\d+)/.exec(require("node:fs").readFileSync("/proc/self/status", "utf8"))[1])`;

export const memory: Report = {
  name: "memory",
  title: `Peak resident memory of ${STEPS} ResNet-9 training steps, batch 128`,
  async run({ threads }) {
    const module = JSON.stringify(join(import.meta.dirname, "resnet9.ts"));
    const own = `const step = (await import(${module})).trainingStep(128); for (let i = 0; i < ${STEPS}; i++) step();`;
    const torch = `prepare resnet9 train 128\nrun ${STEPS} 1\nmemory\n`;
    const programs: [title: string, command: string[], input: string][] = [
      ["Bun alone", [process.execPath, "-e", REPORT_PEAK], ""],
      ["thimble", [process.execPath, "-e", `${own} ${REPORT_PEAK}`], ""],
      ["PyTorch", torchPeer(threads, "contiguous"), torch],
      ["PyTorch, channels-last", torchPeer(threads, "channels-last"), torch],
    ];
    const rows = programs.map(([title, command, input]): Cell[] => {
      const kilobytes = Number(/\d+/.exec(finish(command, threads, input)?.last ?? "")?.[0] ?? NaN);
      return Number.isNaN(kilobytes) ? [title, null, "not installed, or not Linux"] : [title, kilobytes / 1024, ""];
    });
    return { header: ["", "MB", ""], rows, note: "Of fresh processes, libraries and runtime included." };
  },
};
