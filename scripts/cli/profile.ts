/** `--profile FILE.json` of the training scripts. */
import { writeFileSync } from "node:fs";

import { type Device, startProfile } from "../../lib/index.ts";
import { attempt, prepareOutput } from "./output.ts";

/**
 * Profiles what follows, if a file is given; the function that it gives ends that, prints the table and writes the
 * trace.
 */
export function profileInto(file: string | undefined, device: Device): () => Promise<void> {
  if (file === undefined) return async () => {};
  prepareOutput(file);
  const stop = startProfile({ device });
  return async () => {
    const profile = stop();
    attempt(file, () => writeFileSync(file, JSON.stringify(profile.trace())));
    console.log(`\n${profile.table()}\nThe first ${profile.calls.length} calls are in ${file}: open it in Perfetto.`);
  };
}
