/**
 * Finding the Penn Treebank on this machine, and downloading it: as Mikolov preprocessed it for "Recurrent neural
 * network based language model" (2010), 10,000 words, numbers as N, the rest as `<unk>`.
 */
import { statSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { corpusFolder } from "./corpus.ts";
import { type ArchiveOptions, cacheFolder, download, DownloadError, locate, messageOf } from "./download.ts";
import { readTarGz } from "./tar.ts";

interface ExpectedFile {
  name: string;
  size: number;
  md5: string;
}

/** The official archive, and what must be in it: the texts are checked, not what else the archive holds. */
export const PTB = {
  url: "http://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz",
  name: "simple-examples.tgz",
  folder: "simple-examples/data",
  files: [
    { name: "ptb.train.txt", size: 5_101_618, md5: "f26c4b92c5fdc7b3f8c7cdcb991d8420" },
    { name: "ptb.valid.txt", size: 399_782, md5: "aa0affc06ff7c36e977d7cd49e3839bf" },
    { name: "ptb.test.txt", size: 449_945, md5: "8b80168b89c18661a38ef683c0dc3721" },
  ],
} as const;

/** Bytes that the archive may unpack to; the official one has about a fifth of that. */
const LARGEST_ARCHIVE = 2 ** 29;

/** What to give Corpus: see {@link locate}. */
export function locatePtb(folder?: string): string | null {
  return locate(folder, (cache) => corpusFolder(cache) !== null);
}

/** Whether what Corpus reads in a folder is the Penn Treebank as Mikolov prepared it, by the sizes of its files. */
export function isPtb(root: string): boolean {
  const folder = corpusFolder(root);
  if (folder === null) return false;
  return PTB.files.every(({ name, size }) =>
    [name, name.replace("ptb.", "")].some(
      (file) => statSync(join(folder, file), { throwIfNoEntry: false })?.size === size,
    ),
  );
}

export interface PtbDownloadOptions extends ArchiveOptions {
  /** What must be in the archive's folder. Default: the official texts. */
  files?: readonly ExpectedFile[] | undefined;
}

/**
 * Downloads the official archive (from a mirror, if `url` is given) and unpacks its three texts into `folder`, unless
 * they are there. Returns the folder, which Corpus reads.
 * @throws DownloadError when all attempts failed or a text is not the official one, by its MD5.
 */
export async function downloadPtb({
  folder = cacheFolder(),
  url = PTB.url,
  files = PTB.files,
  ...options
}: PtbDownloadOptions = {}): Promise<string> {
  if (corpusFolder(folder) !== null) return folder;
  const archive = join(folder, PTB.name);
  await download(url, archive, options);
  try {
    await writeTexts(url, readTexts(url, archive, files), folder);
  } finally {
    await rm(archive, { force: true }); // 35 MB of which 6 were needed, or another archive than the official one
  }
  return folder;
}

/** The texts of an archive by name. */
function readTexts(url: string, archive: string, files: readonly ExpectedFile[]): Map<string, Uint8Array> {
  const refuse = (problem: string, cause?: unknown): never => {
    throw new DownloadError(url, problem, { permanent: true, cause });
  };
  const members = new Map<string, Uint8Array>();
  try {
    for (const { name, data } of readTarGz(archive, LARGEST_ARCHIVE)) members.set(name.replace(/^\.\//, ""), data);
  } catch (error) {
    refuse(messageOf(error), error);
  }
  return new Map(
    files.map(({ name, size, md5 }) => {
      const path = `${PTB.folder}/${name}`;
      const data = members.get(path) ?? refuse(`has no ${path}`);
      const found = new Bun.CryptoHasher("md5").update(data).digest("hex");
      if (found === md5) return [name, data];
      return refuse(`has a ${path} of ${data.length} bytes with the MD5 ${found}; expected ${size}, ${md5}`);
    }),
  );
}

/** Writes the texts under a temporary name first, so that a folder that exists is whole. */
async function writeTexts(url: string, texts: ReadonlyMap<string, Uint8Array>, folder: string): Promise<void> {
  const target = join(folder, PTB.folder);
  const temporary = join(folder, `.${PTB.name}.${process.pid}.tmp`);
  try {
    await mkdir(temporary);
    for (const [name, data] of texts) await writeFile(join(temporary, name), data);
    await mkdir(dirname(target), { recursive: true });
    await rename(temporary, target);
  } catch (cause) {
    throw new DownloadError(url, `cannot be unpacked into ${target}: ${messageOf(cause)}`, { permanent: true, cause });
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}
