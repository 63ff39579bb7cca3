import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { JsonLines } from "../../scripts/cli/json-lines.ts";
import { plotText, resample } from "../../scripts/cli/plot.ts";
import { duration } from "../../scripts/cli/progress.ts";

test("durations", () => {
  expect([0.04, 7.25, 42.4, 61, 3599.7, 3725].map(duration)).toEqual([
    "0.0 s",
    "7.3 s",
    "42 s",
    "1:01 min",
    "1:00 h",
    "1:02 h",
  ]);
});

test("resampling averages equal parts, and leaves short curves alone", () => {
  expect(resample([1, 3, 5, 7, 9, 11], 3)).toEqual([2, 6, 10]);
  expect(resample([1, 2], 10)).toEqual([1, 2]);
  expect(resample([], 10)).toEqual([]);
  expect(resample([1, 2, 3, 4, 5], 2)).toEqual([1.5, 4]);
});

test("a plot fits its width and height, whatever the values are", () => {
  const values = Array.from({ length: 1000 }, (_, i) => 2.3 * Math.exp(-i / 300));
  const lines = plotText(values, { title: "Loss", width: 60, height: 8 }).split("\n");
  expect(lines[0]).toBe("Loss");
  expect(lines.slice(1).every((line) => line.trimEnd().length <= 60)).toBe(true);
  expect(lines.length).toBeLessThanOrEqual(10);
  expect(plotText([1, NaN, 1, Infinity, 1], { title: "Flat" })).toContain("1.000");
  expect(plotText([1, NaN], { title: "Too short" })).toBe("");
});

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "thimble-log-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("a log starts anew, and a resumed one keeps the epochs that are done", () => {
  const file = join(folder, "new/log.jsonl");
  const log = new JsonLines(file);
  for (const epoch of [1, 2, 3]) log.write({ epoch, loss: 1 / epoch });
  writeFileSync(file, `${readFileSync(file, "utf8")}{"epoch": 4, "lo`);
  new JsonLines(file, 2).write({ epoch: 3, loss: 0.25 });
  expect(readFileSync(file, "utf8")).toBe('{"epoch":1,"loss":1}\n{"epoch":2,"loss":0.5}\n{"epoch":3,"loss":0.25}\n');
  new JsonLines(file).write({ epoch: 1 });
  expect(readFileSync(file, "utf8")).toBe('{"epoch":1}\n');
});
