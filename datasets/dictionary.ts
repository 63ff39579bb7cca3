import { ArgumentError } from "../lib/index.ts";

/** Words and their ids, 0, 1, 2, … in the order in which they were added. */
export class Dictionary {
  private readonly ids = new Map<string, number>();
  private readonly words: string[] = [];

  /** The number of words. */
  get length(): number {
    return this.words.length;
  }

  /** Adds a word unless it is there; its id either way. */
  addWord(word: string): number {
    if (typeof word !== "string") throw new ArgumentError("addWord", `a word is a string, not ${String(word)}`);
    const known = this.ids.get(word);
    if (known !== undefined) return known;
    this.ids.set(word, this.words.length);
    return this.words.push(word) - 1;
  }

  has(word: string): boolean {
    return this.ids.has(word);
  }

  /** @throws ArgumentError for a word that was never added; see {@link has}. */
  id(word: string): number {
    const id = this.ids.get(word);
    if (id === undefined) throw new ArgumentError("Dictionary.id", `there is no word ${JSON.stringify(word)}`);
    return id;
  }

  /** @throws ArgumentError for an id outside [0, length). */
  word(id: number): string {
    const word = this.words[id];
    if (word === undefined)
      throw new ArgumentError("Dictionary.word", `id ${String(id)} is outside [0, ${this.length})`);
    return word;
  }
}
