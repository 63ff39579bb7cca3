import { describe, expect, test } from "bun:test";
import { ArgumentError } from "thimble";
import { GeneratedText } from "thimble/datasets";

const sentences = ({ dictionary }: GeneratedText, ids: Int32Array): string[] =>
  Array.from(ids, (id) => dictionary.word(id)).join(" ").split(" <eos>").map((line) => line.trim()).filter(Boolean); // prettier-ignore

describe("a generated text", () => {
  const text = new GeneratedText();

  test("says what it is, and has some ten thousand words of a small vocabulary", () => {
    expect(text.name).toContain("not the Penn Treebank");
    expect(text.train.length).toBeWithin(40_000, 70_000);
    for (const part of [text.valid, text.test]) expect(part.length).toBeWithin(4_000, 7_000);
    expect(text.dictionary.length).toBeWithin(100, 300);
    expect(sentences(text, text.train).length).toBe(5000);
  });

  test("is determined by the seed, and its parts differ", () => {
    const small = (seed: number) => new GeneratedText({ sentences: 50, seed });
    expect(small(3).train).toEqual(small(3).train);
    expect(small(3).train).not.toEqual(small(4).train);
    const [train, valid, testing] = [text.train, text.valid, text.test].map((ids) => new Set(sentences(text, ids)));
    const known = [...valid!].filter((line) => train!.has(line));
    expect(known.length / valid!.size).toBeLessThan(0.5);
    expect([...valid!].slice(0, 20)).not.toEqual([...testing!].slice(0, 20));
    const longer = sentences(text, text.train).slice(0, 50);
    const shorter = small(0);
    expect(sentences(shorter, shorter.train)).toEqual(longer);
  });

  test("agrees in number, and five sentences in a row keep to one place", () => {
    for (const line of sentences(text, text.train)) {
      if (/because it\b/.test(line)) expect(line).toMatch(/because it \w+s\b/);
      expect(line).not.toMatch(/\b(every|some|many) (every|some|many|the)\b/);
      expect(line).not.toMatch(/undefined/);
    }
    const lines = sentences(text, text.train);
    const places = ["farm", "harbor", "school", "kitchen", "city"];
    for (let i = 0; i < lines.length; i += 5) {
      const seen = lines.slice(i, i + 5).flatMap((line) => places.filter((place) => line.endsWith(`the ${place}`)));
      expect(new Set(seen).size).toBeLessThanOrEqual(1);
    }
  });

  test("arguments that make no sense are ArgumentErrors", () => {
    for (const options of [{ sentences: 0 }, { sentences: NaN }, { sentences: 1e7 }, { seed: 0.5 }]) {
      expect(() => new GeneratedText(options)).toThrow(ArgumentError);
    }
    for (const options of [null, 5, "x"]) expect(() => new GeneratedText(options as never)).toThrow(ArgumentError);
  });
});
