import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { ArgumentError, DatasetError } from "thimble";
import { END_OF_SENTENCE, TextCorpus, type TextSet, UNKNOWN } from "thimble/datasets";

import { thrown } from "../support/thrown.ts";
import { folder, removeFoldersAfterwards } from "./writers.ts";

removeFoldersAfterwards();

const write = (content: string | Uint8Array): string => join(folder({ "text.txt": content }), "text.txt");
const said = ({ dictionary }: TextSet, ids: Int32Array) => Array.from(ids, (id) => dictionary.word(id)).join(" ");
const numbered = (count: number) => Array.from({ length: count }, (_, i) => `line ${i}`);

describe("TextCorpus", () => {
  test("splits the lines with words: the first 90%, the next 5%, the last 5%", () => {
    const corpus = new TextCorpus(write(`\n${numbered(40).join("\n \n")}`));
    expect(said(corpus, corpus.train)).toStartWith("line 0 <eos> line 1 <eos>");
    expect(said(corpus, corpus.train)).toEndWith("line 34 <eos> line 35 <eos>");
    expect(said(corpus, corpus.valid)).toBe("line <unk> <eos> line <unk> <eos>"); // the numbers never occurred before
    expect(corpus.test.length).toBe(6);
    expect(new TextCorpus(write(numbered(59).join("\r\n"))).valid.length).toBe(6);
  });

  test("keeps the most frequent words, of equals those that come first, and reads the rest as <unk>", () => {
    const lines = ["rare b a", "a b a c", "c b d", ...Array.from({ length: 17 }, () => "a")];
    const corpus = new TextCorpus(write(lines.join("\n")), { vocabSize: 5 });
    const words = Array.from({ length: corpus.dictionary.length }, (_, id) => corpus.dictionary.word(id));
    expect(words).toEqual([UNKNOWN, END_OF_SENTENCE, "a", "b", "c"]);
    expect(said(corpus, corpus.train)).toStartWith("<unk> b a <eos> a b a c <eos> c b <unk> <eos> a <eos>");
    const tie = new TextCorpus(write(["x y", "y x", ...numbered(18)].join("\n")), { vocabSize: 4 });
    expect([tie.dictionary.has("line"), tie.dictionary.has("x"), tie.dictionary.has("y")]).toEqual([true, true, false]);
  });

  test("<unk> and <eos> in the text itself are the special words", () => {
    const corpus = new TextCorpus(write(["the <unk> <eos> the", ...numbered(19)].join("\n")), { vocabSize: 3 });
    expect(corpus.dictionary.length).toBe(3);
    expect(said(corpus, corpus.train)).toStartWith("<unk> <unk> <eos> <unk> <eos> line");
  });

  test("a mark at the beginning, other scripts and JavaScript's own names are read as text", () => {
    const corpus = new TextCorpus(write(`\ufeffconstructor été 東京 __proto__\n${numbered(19).join("\n")}`));
    expect(said(corpus, corpus.train)).toStartWith("constructor été 東京 __proto__ <eos>");
  });

  test("maxLines takes the first lines with words", () => {
    expect(new TextCorpus(write(numbered(100).join("\n\n")), { maxLines: 20 }).train.length).toBe(18 * 3);
  });

  test("files that are missing, empty, too short or not UTF-8 are named, with the byte", () => {
    expect(thrown(() => new TextCorpus(join(folder(), "none.txt")))).toBeInstanceOf(DatasetError);
    expect(() => new TextCorpus(join(folder(), "none.txt"))).toThrow(/none\.txt: cannot be read/);
    expect(() => new TextCorpus(folder())).toThrow(DatasetError);
    expect(() => new TextCorpus(write(""))).toThrow(/text\.txt, byte 0: the file is empty/);
    expect(() => new TextCorpus(write(" \n\t\n"))).toThrow(/has 0 lines with words; expected at least 20/);
    expect(() => new TextCorpus(write(numbered(19).join("\n")))).toThrow(/has 19 lines with words/);
    expect(() => new TextCorpus(write(numbered(30).join("\n")), { maxLines: 19 })).toThrow(/has 19 lines/);
    const bytes = Buffer.from(numbered(30).join("\n"));
    bytes[12] = 0xff;
    expect(thrown(() => new TextCorpus(write(bytes)))).toMatchObject({ offset: 12 });
  });

  test("arguments that make no sense are ArgumentErrors", () => {
    const file = write(numbered(30).join("\n"));
    for (const vocabSize of [2, 0, -1, 3.5, NaN])
      expect(() => new TextCorpus(file, { vocabSize })).toThrow(ArgumentError);
    for (const maxLines of [0, 1.5, NaN]) expect(() => new TextCorpus(file, { maxLines })).toThrow(ArgumentError);
    for (const path of ["", null, 5]) expect(() => new TextCorpus(path as never)).toThrow(ArgumentError);
  });
});
