/** Files of checkpoints on the disk: what the system reports becomes a CheckpointError, and writing is atomic. */
import {
  closeSync,
  fchmodSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";

import { CheckpointError } from "../native/errors.ts";

/** Runs `action`; what the system reports becomes a CheckpointError of the file. */
export function attempt<T>(file: string, problem: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(file, `${problem}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/**
 * Writes the parts one after another, atomically: readers see the old content or all of the new, also when the process or
 * the machine stops in between. The file is made under a temporary name in the same folder, which is removed when anything
 * fails. A file that was there keeps its permissions, and a link to one leads to the new one.
 * @throws CheckpointError when it cannot be written.
 */
export function replaceFile(file: string, parts: Iterable<Uint8Array>): void {
  attempt(file, "cannot be written", () => {
    const before = statSync(file, { throwIfNoEntry: false });
    if (before && !before.isFile())
      throw new CheckpointError(file, "cannot be written: it is no file, and would be replaced");
    const target = before ? realpathSync(file) : file;
    const temporary = join(dirname(target), `.${basename(target)}.${process.pid}.tmp`);
    try {
      const descriptor = openSync(temporary, "w");
      try {
        if (before) fchmodSync(descriptor, before.mode & 0o777);
        for (const part of parts) writeAll(descriptor, part);
        fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
      renameSync(temporary, target);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
    syncFolder(dirname(target));
  });
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(descriptor, bytes, done);
}

/**
 * Makes the new name itself last. Not every file system lets a folder be synchronized, and then there is no more to
 * do.
 */
function syncFolder(folder: string): void {
  try {
    const descriptor = openSync(folder, "r");
    fsyncSync(descriptor);
    closeSync(descriptor);
  } catch {}
}
