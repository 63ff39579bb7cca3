/** Files that a command writes at its end: whether they can be written is found out at its beginning. */
import { accessSync, constants, mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";

import { messageOf } from "../../datasets/download.ts";
import { ThimbleError } from "../../lib/index.ts";

/** Makes the folder of a file that is to be written. @throws ThimbleError when the file cannot be. */
export function prepareOutput(file: string): void {
  const folder = dirname(file);
  attempt(file, () => mkdirSync(folder, { recursive: true }));
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats?.isDirectory()) throw new ThimbleError(file, "cannot be written: it is a folder");
  attempt(file, () => accessSync(stats === undefined ? folder : file, constants.W_OK));
}

/** Runs what writes a file; what the system reports becomes a ThimbleError of the file. */
export function attempt<R>(file: string, write: () => R): R {
  try {
    return write();
  } catch (cause) {
    if (cause instanceof ThimbleError) throw cause;
    throw new ThimbleError(file, `cannot be written: ${messageOf(cause)}`, {
      cause,
    });
  }
}
