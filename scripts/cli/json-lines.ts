/** A log with one JSON object a line, each written as soon as it is there. */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";

import { attempt, prepareOutput } from "./output.ts";

export class JsonLines {
  private readonly file: string;

  /** Starts the file anew, or, for a resumed run, keeps its lines of the first `epochs` epochs. */
  constructor(file: string, epochs = 0) {
    this.file = file;
    prepareOutput(file);
    const lines = epochs > 0 && existsSync(file) ? readFileSync(file, "utf8").split("\n") : [];
    const kept = lines.filter((line) => epochOf(line) <= epochs);
    attempt(file, () => writeFileSync(file, kept.map((line) => `${line}\n`).join("")));
  }

  write(entry: Record<string, string | number>): void {
    attempt(this.file, () => appendFileSync(this.file, `${JSON.stringify(entry)}\n`));
  }
}

/** Infinity for what is not such a line: the run stopped while it was written. */
function epochOf(line: string): number {
  try {
    return Number(JSON.parse(line).epoch ?? Infinity);
  } catch {
    return Infinity;
  }
}
