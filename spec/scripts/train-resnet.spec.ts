/** The command as a user runs it, on a few generated images. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { readSafetensors } from "../../lib/checkpoint/index.ts";
import { readLog, runScript, runUntil } from "../support/command.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "thimble-train-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const small = ["--generated", "--limit", "96", "--batch-size", "16", "--augment"];
const at = (name: string) => join(folder, name);

const run = (...args: string[]) => runScript("train-resnet.ts", args);

interface LogLine {
  epoch: number;
  trainLoss: number;
  trainAccuracy: number;
  testLoss: number;
  testAccuracy: number;
  seconds: number;
  imagesPerSecond: number;
}

/** What must repeat: all but the times. */
const figures = (lines: LogLine[]) =>
  lines.map(({ epoch, trainLoss, trainAccuracy, testLoss, testAccuracy }) => {
    return [epoch, trainLoss, trainAccuracy, testLoss, testAccuracy];
  });

test("--help, and exit code 2 for a mistake", async () => {
  const help = await run("--help");
  expect(help.code).toBe(0);
  expect(help.stdout).toContain("--weight-decay N");
  const mistake = await run("--epochs", "none");
  expect(mistake.code).toBe(2);
  expect(mistake.stderr).toContain("--epochs must be an integer of at least 1, not 'none'");
});

test("what cannot be read is one clear line and exit code 1", async () => {
  const missing = await run("--data", at("nowhere"));
  expect(missing.code).toBe(1);
  expect(missing.stderr).toStartWith("DatasetError: ");
  expect(missing.stderr).not.toContain("    at ");
  const resumed = await run("--resume", at("none.safetensors"), "--generated");
  expect([resumed.code, resumed.stderr]).toEqual([1, expect.stringContaining("CheckpointError: ")]);
});

test("what cannot be written is found before the first step, and parent folders are made", async () => {
  const epoch = [...small, "--epochs", "1"];
  for (const option of ["--checkpoint", "--log", "--profile"]) {
    const refused = await run(...epoch, option, folder);
    expect([refused.code, refused.stdout.includes("epoch 1/1")]).toEqual([1, false]);
    expect(refused.stderr).toMatch(/Error: .*cannot be written: it is a folder\n$/);
  }
  const made = await run(...epoch, "--checkpoint", at("new/folder/run"));
  expect(made).toMatchObject({ code: 0, stderr: "" });
  expect(readSafetensors(at("new/folder/run")).arrays.size).toBeGreaterThan(0);
}, 60_000);

test("a last batch of one image, which batch normalisation cannot take, is left out, and said to be", async () => {
  const { code, stdout } = await run("--generated", "--limit", "33", "--batch-size", "16", "--epochs", "1");
  expect(code).toBe(0);
  expect(stdout).toContain("leaves out one image");
  const alone = await run("--generated", "--limit", "33", "--batch-size", "1");
  expect([alone.code, alone.stderr]).toEqual([2, expect.stringContaining("--batch-size must be")]);
}, 60_000);

test("a run whose loss has become NaN is saved, and goes on", async () => {
  const diverging = [...small, "--limit", "640", "--epochs", "6", "--lr", "1e30"];
  const { code } = await runUntil("epoch 1/6", "train-resnet.ts", [...diverging, "--checkpoint", at("nan")]);
  expect(code).toBe(130);
  const resumed = await run("--generated", "--limit", "640", "--resume", at("nan"));
  expect(resumed).toMatchObject({ code: 0, stderr: "" });
  expect(resumed.stdout).toMatch(/epoch 6\/6 +train loss NaN/);
}, 60_000);

test("epochs are logged, saved and plotted; a resumed run is the same bit for bit, also from within an epoch", async () => {
  const straight = await run(...small, "--epochs", "3", "--checkpoint", at("straight"), "--log", at("straight.jsonl"));
  expect(straight).toMatchObject({ code: 0, stderr: "" });
  expect(straight.stdout).toContain("generated images (not CIFAR-10): 96 training and 96 test images");
  expect(straight.stdout).toContain("Training loss from epoch 1 to 3");
  const lines = readLog<LogLine>(at("straight.jsonl"));
  expect(lines.map(({ epoch }) => epoch)).toEqual([1, 2, 3]);
  for (const line of lines) {
    for (const value of Object.values(line).filter((each) => typeof each === "number")) expect(value).toBeFinite();
    expect(line.imagesPerSecond).toBeCloseTo(96 / line.seconds, 6);
  }

  await run(...small, "--epochs", "1", "--checkpoint", at("resumed"), "--log", at("resumed.jsonl"));
  const more = [
    "--epochs",
    "3",
    "--resume",
    at("resumed"),
    "--checkpoint",
    at("resumed"),
    "--log",
    at("resumed.jsonl"),
  ];
  expect(await run("--generated", "--limit", "96", ...more)).toMatchObject({ code: 0 });
  expect(readSafetensors(at("resumed")).arrays).toEqual(readSafetensors(at("straight")).arrays);
  expect(figures(readLog<LogLine>(at("resumed.jsonl")))).toEqual(figures(lines));

  const wrong = await run("--generated", "--limit", "96", "--resume", at("resumed"), "--batch-size", "8");
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining("made with --batch-size 16, not 8")]);
  const other = await run("--generated", "--limit", "80", "--resume", at("resumed"));
  expect([other.code, other.stderr]).toEqual([1, expect.stringContaining("the run used 96 images")]);
}, 60_000);

test("Ctrl-C stops after the running step and saves; going on from there changes no bit", async () => {
  const saved = at("stopped");
  const all = [...small, "--limit", "640", "--epochs", "6", "--schedule", "one-cycle"];
  const files = ["--checkpoint", saved, "--log", at("stopped.jsonl")];
  const { stdout, stderr, code } = await runUntil("epoch 1/6", "train-resnet.ts", [...all, ...files]);
  expect(code).toBe(130);
  expect(stdout).toMatch(/Stopped in epoch \d after \d+ of 40 steps, and saved/);
  expect(stderr).toContain("Stopping after the running step");
  expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);

  const resumed = await run("--generated", "--limit", "640", "--resume", saved, ...files);
  expect(resumed).toMatchObject({ code: 0, stderr: "" }); // with the six epochs that the checkpoint says
  await run(...all, "--checkpoint", at("whole"), "--log", at("whole.jsonl"));
  expect(readSafetensors(saved).arrays).toEqual(readSafetensors(at("whole")).arrays);
  expect(figures(readLog<LogLine>(at("stopped.jsonl")))).toEqual(figures(readLog<LogLine>(at("whole.jsonl"))));

  const done = await run("--generated", "--limit", "640", "--resume", saved);
  expect(done.stdout).toContain("All 6 epochs are done already");
}, 60_000);

test("--profile prints operations by time and writes a trace", async () => {
  const { stdout, code } = await run(...small, "--epochs", "1", "--profile", at("trace.json"));
  expect(code).toBe(0);
  expect(stdout).toMatch(/^conv backward weight +\d+ /m);
  const { traceEvents } = JSON.parse(readFileSync(at("trace.json"), "utf8"));
  const steps = traceEvents.filter(({ name }: { name: string }) => name === "Adam");
  expect(steps).toHaveLength(6);
}, 60_000);
