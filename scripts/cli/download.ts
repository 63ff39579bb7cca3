/** A download that a command can do without. */
import { DownloadError, type DownloadOptions } from "../../datasets/index.ts";
import { showProgress, silent } from "./progress.ts";

export interface Wanted {
  /** The data set's name, and how large its archive is. */
  name: string;
  megabytes: number;
  /** What the command goes on with when the download fails, in a sentence's words. */
  instead: string;
  progress: boolean;
  signal: AbortSignal;
}

/** Downloads an official archive into the cache folder; null, with the reason said, when that is not possible. */
export async function downloadOrNull(
  { name, megabytes: total, instead, progress: show, signal }: Wanted,
  download: (options: DownloadOptions) => Promise<string>,
): Promise<string | null> {
  console.log(`${name} is not on this machine: downloading the official archive (${total} MB), once.`);
  const megabytes = (bytes: number) => Math.floor(bytes / 1e6);
  const progress = show ? showProgress({ title: "download", unit: "MB", total }) : silent;
  try {
    return await download({ signal, onProgress: (received) => progress.update(megabytes(received)) });
  } catch (error) {
    if (!(error instanceof DownloadError) || signal.aborted) throw error;
    console.log(`The download failed: ${error.message}`);
    console.log(`Going on with ${instead}.`);
    return null;
  } finally {
    progress.stop();
  }
}
