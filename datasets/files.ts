/** Reading files of a dataset, with errors that say which file and what to do. */
import { readFileSync, type Stats, statSync } from "node:fs";

import { DatasetError } from "../lib/native/errors.ts";

/**
 * The content of a file.
 * @param limit the most bytes that it may have: what is larger is another file, and is not read.
 */
export function readFile(file: string, limit: number): Uint8Array {
  try {
    const { size } = statSync(file);
    if (size > limit) throw new DatasetError(file, `has ${size} bytes; expected at most ${limit}`);
    return readFileSync(file);
  } catch (cause) {
    if (cause instanceof DatasetError) throw cause;
    throw new DatasetError(file, `cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}

export const isFile = (path: string): boolean => statOf(path)?.isFile() ?? false;

/** Undefined where there is nothing, such as below a file, or where looking is not allowed. */
function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}
