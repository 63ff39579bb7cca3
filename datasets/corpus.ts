/**
 * Text for word-level language models, such as the Penn Treebank as Mikolov preprocessed it: three files of words
 * separated by white space, one sentence a line.
 */
import { join } from "node:path";

import { ArgumentError, DatasetError, type Device, NDArray, tidy, Tensor } from "../lib/index.ts";
import { Dictionary } from "./dictionary.ts";
import { isFile, readFile } from "./files.ts";

/** Ends every line. */
export const END_OF_SENTENCE = "<eos>";

/** Bytes of one file: a string has at most 2^31 - 1 characters. */
const LARGEST_TEXT = 2 ** 30;

export interface CorpusOptions {
  /** Read only so many lines of each file. Default: all. */
  maxLines?: number | undefined;
}

/** The ids of three texts over one dictionary, whose words are numbered as they first appear: train, valid, test. */
export class Corpus {
  readonly dictionary = new Dictionary();
  readonly train: Int32Array;
  readonly valid: Int32Array;
  readonly test: Int32Array;

  /**
   * @param root a folder with `train.txt`, `valid.txt` and `test.txt`, or `ptb.train.txt` and so on.
   * @throws DatasetError for a file that is missing, empty or not UTF-8, with the byte offset.
   */
  constructor(root: string, { maxLines = Infinity }: CorpusOptions = {}) {
    if (typeof root !== "string" || root === "") throw new ArgumentError("Corpus", "root must be a path");
    if (maxLines !== Infinity && (!Number.isInteger(maxLines) || maxLines < 1)) {
      throw new ArgumentError("Corpus", `maxLines must be a positive integer, not ${String(maxLines)}`);
    }
    const read = (part: string) => encode(this.dictionary, readText(findFile(root, part)), maxLines);
    this.train = read("train");
    this.valid = read("valid");
    this.test = read("test");
  }
}

function findFile(root: string, part: string): string {
  const names = [`${part}.txt`, `ptb.${part}.txt`];
  const found = names.map((name) => join(root, name)).find(isFile);
  if (found !== undefined) return found;
  throw new DatasetError(join(root, names[0]!), `no such file, nor ${names[1]}`, {
    hint: "A corpus is a folder with train.txt, valid.txt and test.txt",
  });
}

function readText(file: string): string {
  const bytes = readFile(file, LARGEST_TEXT);
  if (bytes.length === 0) throw new DatasetError(file, "the file is empty", { offset: 0 });
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DatasetError(file, "expected UTF-8", { offset: firstInvalid(bytes), cause });
  }
}

/** The offset of the first byte that is not UTF-8: the longest prefix that could go on as UTF-8, less an unfinished character. */
function firstInvalid(bytes: Uint8Array): number {
  const decodes = (length: number, stream: boolean): boolean => {
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, length), { stream });
      return true;
    } catch {
      return false;
    }
  };
  let [low, high] = [0, bytes.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (decodes(middle, true)) low = middle;
    else high = middle - 1;
  }
  while (!decodes(low, false)) low--;
  return low;
}

/** The ids of all words, new ones added to the dictionary, with the id of the end of a sentence behind every line. */
function encode(dictionary: Dictionary, text: string, maxLines: number): Int32Array {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop(); // what follows the last line's end is not a line
  const ids: number[] = [];
  for (const line of lines.slice(0, maxLines)) {
    for (const word of line.split(/\s+/)) if (word !== "") ids.push(dictionary.addWord(word));
    ids.push(dictionary.addWord(END_OF_SENTENCE));
  }
  return Int32Array.from(ids);
}

/**
 * Cuts a text into `batchSize` columns of consecutive words: (floor(n / batchSize), batchSize) int32. What does not fill
 * a row is dropped.
 */
export function batchify(ids: Int32Array, batchSize: number, { device }: { device?: Device } = {}): NDArray {
  if (!(ids instanceof Int32Array)) throw new ArgumentError("batchify", "takes an Int32Array of ids");
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > ids.length) {
    const problem = `batchSize must be an integer from 1 to the ${ids.length} ids, not ${String(batchSize)}`;
    throw new ArgumentError("batchify", problem);
  }
  const rows = Math.floor(ids.length / batchSize);
  const columns = ids.subarray(0, rows * batchSize);
  return tidy(() =>
    NDArray.from(columns, { shape: [batchSize, rows], device })
      .transpose()
      .compact(),
  );
}

/**
 * The chunk from row `i` on: x (L, B) int32 and y (L · B) int32, the words one row later, where
 * L = min(bptt, rows - 1 - i). Both are views.
 */
export function getBatch(batches: NDArray, i: number, bptt: number): [x: Tensor, y: Tensor] {
  const [rows, columns] = batches.shape;
  if (batches.ndim !== 2 || rows === undefined || columns === undefined) {
    throw new ArgumentError("getBatch", "takes the array that batchify made");
  }
  if (!Number.isInteger(bptt) || bptt < 1) {
    throw new ArgumentError("getBatch", `bptt must be a positive integer, not ${String(bptt)}`);
  }
  if (!Number.isInteger(i) || i < 0 || i >= rows - 1) {
    throw new ArgumentError("getBatch", `row ${String(i)} is outside [0, ${rows - 1})`);
  }
  const length = Math.min(bptt, rows - 1 - i);
  return tidy(() => [
    new Tensor(batches.slice([i, i + length])),
    new Tensor(batches.slice([i + 1, i + 1 + length]).reshape([length * columns])),
  ]);
}
