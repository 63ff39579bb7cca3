/**
 * Nothing that the public API can be given crashes the process or goes unnoticed: each row of the table of misuse throws
 * a ThimbleError whose message names the operation and the shapes. The table runs in a process of its own.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";

import { cases } from "./support/misuse.ts";

interface Line {
  what: string;
  outcome?: "threw" | "returned";
  message?: string;
  result?: string;
  classes?: string[];
}

const run = Bun.spawnSync([process.execPath, join(import.meta.dir, "support/misuse.ts")], {
  stdout: "pipe",
  stderr: "pipe",
});
const lines = run.stdout.toString().split("\n").filter(Boolean).map((line): Line => JSON.parse(line)); // prettier-ignore
const outcomes = new Map(lines.filter(({ outcome }) => outcome !== undefined).map((line) => [line.what, line]));

describe("misuse of the public API", () => {
  test("does not crash the process", () => {
    const last = lines.at(-1)?.what ?? "the start";
    expect({ signal: run.signalCode ?? null, code: run.exitCode, last, errors: run.stderr.toString() }) // prettier-ignore
      .toEqual({ signal: null, code: 0, last: "the end", errors: "" });
  });

  test("every row of the table has a name of its own", () => {
    expect(new Set(cases.map(({ what }) => what)).size).toBe(cases.length);
  });

  for (const { what, says } of cases) {
    test(what, () => {
      const line = outcomes.get(what);
      if (line === undefined) throw new Error("the process did not get here, or did not come back");
      if (line.outcome !== "threw") throw new Error(`nothing was thrown: the result is ${line.result}`);
      if (!line.classes!.includes("ThimbleError")) throw new Error(`${line.classes![0]}: ${line.message}`);
      expect(line.message!).toMatch(says);
    });
  }
});
