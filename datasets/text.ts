/** What readers of texts share: UTF-8 files, lines, and words, which white space separates. */
import { ArgumentError, DatasetError } from "../lib/native/errors.ts";
import type { Dictionary } from "./dictionary.ts";
import { readFile } from "./files.ts";

/** Ends every line. */
export const END_OF_SENTENCE = "<eos>";
/** Stands for every word that is not in the vocabulary. */
export const UNKNOWN = "<unk>";

/** Bytes of one file: a string has at most 2^31 - 1 characters. */
const LARGEST_TEXT = 2 ** 30;

/** The ids of three texts over one dictionary. */
export interface TextSet {
  readonly dictionary: Dictionary;
  readonly train: Int32Array;
  readonly valid: Int32Array;
  readonly test: Int32Array;
}

/**
 * The text of a UTF-8 file.
 * @throws DatasetError when it is missing, empty or not UTF-8, with the byte offset.
 */
export function readText(file: string): string {
  const bytes = readFile(file, LARGEST_TEXT);
  if (bytes.length === 0) throw new DatasetError(file, "the file is empty", { offset: 0 });
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DatasetError(file, "expected UTF-8", { offset: firstInvalid(bytes), cause });
  }
}

/**
 * The offset of the first byte that is not UTF-8: the longest prefix that could go on as UTF-8, less an unfinished
 * character.
 */
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

/** The lines of a text, without an empty one behind the last line's end. */
export function linesOf(text: string): string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

/** The words of a line or of a whole text. */
export const wordsOf = (line: string): string[] => line.split(/\s+/).filter((word) => word !== "");

/** The ids of all words, with the end of a sentence behind every line. */
export function encode(lines: readonly string[], idOf: (word: string) => number): Int32Array {
  const ids: number[] = [];
  for (const line of lines) {
    for (const word of wordsOf(line)) ids.push(idOf(word));
    ids.push(idOf(END_OF_SENTENCE));
  }
  return Int32Array.from(ids);
}

/** Throws unless `value` is a positive integer of at least `low`, or Infinity, which stands for all. */
export function checkLimit(operation: string, name: string, value: number, low = 1): void {
  if (value !== Infinity && (!Number.isInteger(value) || value < low)) {
    const least = low === 1 ? "a positive integer" : `an integer of at least ${low}`;
    throw new ArgumentError(operation, `${name} must be ${least}, not ${String(value)}`);
  }
}
