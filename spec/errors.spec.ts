/**
 * Nothing that the public API can be given crashes the process or goes unnoticed: each row of the table of misuse throws
 * a ThimbleError whose message names the operation and the shapes. The table runs in a process of its own.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";

import { cases } from "./support/misuse/index.ts";

interface Line {
  what: string;
  outcome?: "threw" | "returned";
  message?: string;
  result?: string;
  classes?: string[];
}

const run = Bun.spawnSync([process.execPath, join(import.meta.dir, "support/misuse/run.ts")], {
  stdout: "pipe",
  stderr: "pipe",
});
const lines = run.stdout.toString().split("\n").filter(Boolean).map((line): Line => JSON.parse(line)); // prettier-ignore
const outcomes = new Map(lines.filter(({ outcome }) => outcome !== undefined).map((line) => [line.what, line]));

describe("random calls", () => {
  test("neither crash nor write where they should not, and what they throw is thimble's", () => {
    const fuzz = Bun.spawnSync([process.execPath, join(import.meta.dir, "support/misuse/fuzz.ts"), "7", "8000"]);
    const errors = fuzz.stderr.toString();
    expect({ signal: fuzz.signalCode ?? null, code: fuzz.exitCode, errors }).toEqual({
      signal: null,
      code: 0,
      errors: "",
    });
    const found: { calls: number; thrown: number; foreign: Record<string, number> } = JSON.parse(
      fuzz.stdout.toString(),
    );
    expect(found.calls - found.thrown).toBeGreaterThan(1000); // enough of them were right
    // JavaScript's own complaints about null in place of options, and about printing symbols and bigints, are clear.
    const clear =
      /^TypeError: (Cannot destructure|(null|undefined) is not an object|Cannot convert a symbol|JSON.stringify)/;
    expect(Object.keys(found.foreign).filter((message) => !clear.test(message))).toEqual([]);
  }, 60_000);
});

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
