/** Reading files of a dataset, with errors that say which file and what to do. */
import { readFileSync, statSync } from "node:fs";

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

export function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
