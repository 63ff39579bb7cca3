/**
 * Text for word-level language models, such as the Penn Treebank as Mikolov preprocessed it: three files of words
 * separated by white space, one sentence a line.
 */
import { join } from "node:path";

import { ArgumentError, DatasetError } from "../lib/native/errors.ts";
import { checkOptions } from "../lib/ndarray/options.ts";
import { Dictionary } from "./dictionary.ts";
import { isFile } from "./files.ts";
import { checkLimit, encode, linesOf, readText, type TextSet } from "./text.ts";

export interface CorpusOptions {
  /** Read only so many lines of each file. Default: all. */
  maxLines?: number | undefined;
}

/** The ids of three texts over one dictionary, whose words are numbered as they first appear: train, valid, test. */
export class Corpus implements TextSet {
  readonly dictionary = new Dictionary();
  readonly train: Int32Array;
  readonly valid: Int32Array;
  readonly test: Int32Array;

  /**
   * @param root a folder with `train.txt`, `valid.txt` and `test.txt`, or `ptb.train.txt` and so on; or one that has such
   * a folder as `ptb` or, as the official archive unpacks, as `simple-examples/data`.
   * @throws DatasetError for a file that is missing, empty or not UTF-8, with the byte offset.
   */
  constructor(root: string, options: CorpusOptions = {}) {
    const { maxLines = Infinity } = checkOptions("Corpus", options, ["maxLines"]);
    if (typeof root !== "string" || root === "") throw new ArgumentError("Corpus", "root must be a path");
    checkLimit("Corpus", "maxLines", maxLines);
    const folder = corpusFolder(root) ?? root;
    const read = (part: string) => {
      const lines = linesOf(readText(findFile(folder, part)));
      return encode(lines.slice(0, maxLines), (word) => this.dictionary.addWord(word));
    };
    this.train = read("train");
    this.valid = read("valid");
    this.test = read("test");
  }
}

const namesOf = (part: string): [string, string] => [`${part}.txt`, `ptb.${part}.txt`];

/** The folder among `root` and those that it may have inside that holds a training text; null if none does. */
export function corpusFolder(root: string): string | null {
  const folders = [root, join(root, "ptb"), join(root, "simple-examples/data")];
  return folders.find((folder) => namesOf("train").some((name) => isFile(join(folder, name)))) ?? null;
}

function findFile(folder: string, part: string): string {
  const names = namesOf(part);
  const found = names.map((name) => join(folder, name)).find(isFile);
  if (found !== undefined) return found;
  throw new DatasetError(join(folder, names[0]), `no such file, nor ${names[1]}`, {
    hint: "A corpus is a folder with train.txt, valid.txt and test.txt, or has one as 'ptb' or 'simple-examples/data'",
  });
}
