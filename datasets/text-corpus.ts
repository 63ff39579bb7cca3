/** A text of one's own for language models: one UTF-8 file, whose words white space separates. */
import { ArgumentError, DatasetError } from "../lib/native/errors.ts";
import { checkOptions } from "../lib/ndarray/options.ts";
import { Dictionary } from "./dictionary.ts";
import { checkLimit, encode, END_OF_SENTENCE, linesOf, readText, type TextSet, UNKNOWN, wordsOf } from "./text.ts";

export interface TextCorpusOptions {
  /**
   * Words of the dictionary in all, `<unk>` and `<eos>` included: at least 3. The most frequent ones of the training
   * part are kept, of equally frequent ones those that come first; all others are read as `<unk>`. Default 10,000.
   */
  vocabSize?: number | undefined;
  /** Read only so many lines. Default: all. */
  maxLines?: number | undefined;
}

/** So that 5% are at least one line. */
const FEWEST_LINES = 20;

/**
 * The ids of a text in three parts over one dictionary. Lines without words are left out; of the others the first 90%
 * are the training part, the next 5% validate, and the last 5% test: each part stays a text that can be read on. In
 * the dictionary `<unk>` is first and `<eos>`, which ends every line, second; then come the words, the most frequent
 * first.
 */
export class TextCorpus implements TextSet {
  readonly dictionary = new Dictionary();
  readonly train: Int32Array;
  readonly valid: Int32Array;
  readonly test: Int32Array;

  /**
   * @throws DatasetError for a file that is missing, empty, not UTF-8 (with the byte offset), or below 20 lines with
   * words.
   */
  constructor(file: string, options: TextCorpusOptions = {}) {
    checkOptions("TextCorpus", options, ["vocabSize", "maxLines"]);
    const { vocabSize = 10_000, maxLines = Infinity } = options;
    if (typeof file !== "string" || file === "") throw new ArgumentError("TextCorpus", "file must be a path");
    checkLimit("TextCorpus", "vocabSize", vocabSize, 3);
    checkLimit("TextCorpus", "maxLines", maxLines);
    const lines = linesOf(readText(file))
      .filter((line) => line.trim() !== "")
      .slice(0, maxLines);
    if (lines.length < FEWEST_LINES) {
      const problem = `has ${lines.length} lines with words; expected at least ${FEWEST_LINES}`;
      throw new DatasetError(file, problem, { hint: "They are split into 90%, 5% and 5%" });
    }
    const part = Math.floor(lines.length / 20);
    const train = lines.slice(0, -2 * part);
    for (const word of vocabulary(train, vocabSize)) this.dictionary.addWord(word);
    const unknown = this.dictionary.id(UNKNOWN);
    const idOf = (word: string) => (this.dictionary.has(word) ? this.dictionary.id(word) : unknown);
    this.train = encode(train, idOf);
    this.valid = encode(lines.slice(-2 * part, -part), idOf);
    this.test = encode(lines.slice(-part), idOf);
  }
}

/**
 * `<unk>`, `<eos>`, and the most frequent words; a sort keeps the order of equals, and a map the order of first uses.
 */
function vocabulary(lines: readonly string[], size: number): string[] {
  const counts = new Map<string, number>();
  for (const line of lines) for (const word of wordsOf(line)) counts.set(word, (counts.get(word) ?? 0) + 1);
  for (const special of [UNKNOWN, END_OF_SENTENCE]) counts.delete(special);
  const byCount = [...counts].sort(([, a], [, b]) => b - a).map(([word]) => word);
  return [UNKNOWN, END_OF_SENTENCE, ...byCount.slice(0, size - 2)];
}
