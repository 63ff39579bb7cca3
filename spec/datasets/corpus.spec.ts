/** Corpus and Dictionary, on texts written here. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { ArgumentError, DatasetError } from "thimble";
import { Corpus, Dictionary } from "thimble/datasets";

import { thrown } from "../support/thrown.ts";

const folder = mkdtempSync(join(tmpdir(), "thimble-corpus-"));
afterAll(() => rmSync(folder, { recursive: true }));
let folders = 0;

/** A folder with the three files. */
function write(files: Record<string, string | Uint8Array>): string {
  const root = join(folder, String(folders++));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
  return root;
}

const small = { "train.txt": " the cat sat \n the dog\n", "valid.txt": "a cat\n", "test.txt": "dog\tsat" };

describe("Dictionary", () => {
  test("numbers words in the order in which they come", () => {
    const dictionary = new Dictionary();
    expect(["b", "a", "b", "__proto__", "constructor"].map((word) => dictionary.addWord(word))).toEqual([
      0, 1, 0, 2, 3,
    ]);
    expect([dictionary.length, dictionary.id("a"), dictionary.word(2)]).toEqual([4, 1, "__proto__"]);
    expect([dictionary.has("b"), dictionary.has("toString")]).toEqual([true, false]);
  });

  test("refuses what it does not have", () => {
    const dictionary = new Dictionary();
    dictionary.addWord("a");
    expect(() => dictionary.id("b")).toThrow(ArgumentError);
    for (const id of [1, -1, 0.5, NaN]) expect(() => dictionary.word(id)).toThrow(ArgumentError);
  });
});

describe("Corpus", () => {
  test("words by white space, <eos> behind every line, one dictionary for all three", () => {
    const { dictionary, train, valid, test: testing } = new Corpus(write(small));
    const words = (ids: Int32Array) => Array.from(ids, (id) => dictionary.word(id)).join(" ");
    expect(words(train)).toBe("the cat sat <eos> the dog <eos>");
    expect(words(valid)).toBe("a cat <eos>");
    expect(words(testing)).toBe("dog sat <eos>");
    expect([...train]).toEqual([0, 1, 2, 3, 0, 4, 3]);
    expect(dictionary.length).toBe(6);
  });

  test("an empty line is a sentence without words; Windows line ends and other names of the files are read", () => {
    const { "train.txt": _, ...rest } = small;
    const corpus = new Corpus(write({ ...rest, "ptb.train.txt": "a\r\n\r\nb\r\n" }));
    expect([...corpus.train]).toEqual([0, 1, 1, 2, 1]);
  });

  test("the files may lie in a folder 'ptb', or as the official archive unpacks", () => {
    const inside = (folderName: string, prefix = "") =>
      write(Object.fromEntries(Object.entries(small).map(([name, text]) => [`${folderName}/${prefix}${name}`, text])));
    const expected = new Corpus(write(small)).train;
    for (const root of [inside("ptb"), inside("ptb", "ptb."), inside("simple-examples/data", "ptb.")]) {
      expect(new Corpus(root).train).toEqual(expected);
    }
    expect(() => new Corpus(inside("elsewhere"))).toThrow(/train\.txt: no such file.*'simple-examples\/data'/);
  });

  test("maxLines takes the first lines of each file", () => {
    const corpus = new Corpus(write(small), { maxLines: 1 });
    expect([corpus.train.length, corpus.valid.length, corpus.test.length]).toEqual([4, 3, 3]);
    for (const maxLines of [0, -1, 1.5, NaN]) expect(() => new Corpus(folder, { maxLines })).toThrow(ArgumentError);
  });

  test("missing, empty and foreign files are named, with the byte", () => {
    const { "valid.txt": _, ...missing } = small;
    expect(() => new Corpus(write(missing))).toThrow(/valid\.txt.*ptb\.valid\.txt/);
    expect(() => new Corpus(join(write(small), "train.txt"))).toThrow(/A corpus is a folder/);
    expect(() => new Corpus(write({ ...small, "test.txt": "" }))).toThrow(/test\.txt, byte 0: the file is empty/);
    const text = new TextEncoder().encode("gr\u00fc\u00df dich\n");
    for (const [at, bad] of [
      [0, 0xff],
      [6, 0xc3],
      [10, 0x80],
    ] as const) {
      const bytes = text.slice();
      bytes[at] = bad;
      const root = write({ ...small, "train.txt": bytes });
      const error = thrown(() => new Corpus(root));
      expect(error).toBeInstanceOf(DatasetError);
      expect(error).toMatchObject({ offset: at });
    }
  });
});
