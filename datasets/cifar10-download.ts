/** Finding CIFAR-10 on this machine, and downloading it. */
import { existsSync } from "node:fs";
import { join } from "node:path";

import { locateFiles } from "./cifar10-files.ts";
import { cacheFolder, download, type ArchiveOptions, locate } from "./download.ts";

/** The official archive, python version. */
export const CIFAR10 = {
  url: "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
  name: "cifar-10-python.tar.gz",
  size: 170_498_071,
  md5: "c58f30108f718f92721af3b95e74349a",
} as const;

/** What to give CIFAR10Dataset: see {@link locate}. */
export function locateCifar10(folder?: string): string | null {
  return locate(folder, (cache) => locateFiles(cache) !== null);
}

/**
 * Downloads the official archive (from a mirror, if `url` is given) into `folder`, unless it is there. Returns its
 * path.
 */
export async function downloadCifar10({
  folder = cacheFolder(),
  url = CIFAR10.url,
  ...options
}: ArchiveOptions = {}): Promise<string> {
  const path = join(folder, CIFAR10.name);
  if (!existsSync(path)) await download(url, path, { ...CIFAR10, ...options });
  return path;
}
