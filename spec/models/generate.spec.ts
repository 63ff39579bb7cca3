import { describe, expect, test } from "bun:test";
import { ArgumentError, cpu, Generator as RandomGenerator, manualSeed, nn, Tensor, tensor } from "thimble";
import { generate, LanguageModel } from "thimble/models";
import type { HiddenState } from "thimble/training";

import { liveBytes } from "../support/live-bytes.ts";

/** Says the logits of a row that the last word chooses, and counts in its state how many words it has read. */
class Table extends nn.Module {
  readonly read: number[] = [];
  readonly modes: boolean[] = [];

  private readonly rows: readonly (readonly number[])[];

  constructor(rows: readonly (readonly number[])[]) {
    super();
    this.rows = rows;
  }

  override forward(x: Tensor, h: HiddenState | null = null): [Tensor, HiddenState] {
    const words = Array.from(x.toTypedArray());
    const before = h instanceof Tensor ? h.item() : 0;
    this.read.push(before + words.length);
    this.modes.push(this.training);
    return [tensor(words.map((word) => [...this.rows[word]!])), tensor(before + words.length)];
  }
}

const take = (count: number, words: Generator<number, never>) =>
  Array.from({ length: count }, () => words.next().value);

describe("generate", () => {
  test("reads the prompt, then each word that it said, with the state carried on, in evaluation mode", () => {
    const model = new Table([[0, 5, 0], [0, 0, 5], [5, 0, 0]]); // prettier-ignore
    expect(take(5, generate(model, [2, 0], { temperature: 0 }))).toEqual([1, 2, 0, 1, 2]);
    expect(model.read).toEqual([2, 3, 4, 5, 6]);
    expect(model.modes).toEqual([false, false, false, false, false]);
    expect(model.training).toBe(true);
  });

  test("draws from the distribution that the logits and the temperature say", () => {
    const row = [Math.log(0.5), Math.log(0.3), Math.log(0.2), -Infinity];
    const share = (temperature: number) => {
      const words = take(
        4000,
        generate(new Table([row, row, row, row]), [0], { temperature, generator: new RandomGenerator(5) }),
      );
      return [0, 1, 2, 3].map((id) => words.filter((word) => word === id).length / words.length);
    };
    const near = (found: number[], expected: number[]) =>
      expected.forEach((value, i) => expect(Math.abs(found[i]! - value)).toBeLessThan(0.03));
    near(share(1), [0.5, 0.3, 0.2, 0]);
    near(share(0.5), [0.25 / 0.38, 0.09 / 0.38, 0.04 / 0.38, 0]);
    near(share(1e6), [1 / 3, 1 / 3, 1 / 3, 0]);
    expect(share(1e-6)).toEqual([1, 0, 0, 0]);
  }, 30_000);

  test("topK and topP leave out what is unlikely", () => {
    const row = [Math.log(0.5), Math.log(0.3), Math.log(0.2)];
    const said = (options: object) =>
      new Set(take(200, generate(new Table([row, row, row]), [0], { generator: new RandomGenerator(5), ...options })));
    expect(said({})).toEqual(new Set([0, 1, 2]));
    expect(said({ topK: 2 })).toEqual(new Set([0, 1]));
    expect(said({ topP: 0.4 })).toEqual(new Set([0]));
  });

  test("repeats with its generator, or with manualSeed", () => {
    const model = new LanguageModel(6, 20, 6, { seqModel: "lstm", dropout: 0.5 });
    const said = (seed: number) => take(20, generate(model, [1], { generator: new RandomGenerator(seed) }));
    expect(said(4)).toEqual(said(4));
    expect(said(4)).not.toEqual(said(5));
    const seeded = () => {
      manualSeed(8);
      return take(20, generate(model, [1]));
    };
    expect(seeded()).toEqual(seeded());
  });

  test("holds no more memory after many words", () => {
    const words = generate(new LanguageModel(8, 30, 8, { numLayers: 2, seqModel: "lstm" }), [1, 2]);
    take(5, words);
    const before = liveBytes(cpu());
    take(200, words);
    expect(cpu().memory().live).toBeLessThanOrEqual(before);
  });

  test("refuses prompts and temperatures that make no sense", () => {
    const model = new LanguageModel(4, 9, 5);
    const first = (prompt: readonly number[], temperature?: number) => () =>
      generate(model, prompt, { temperature }).next();
    expect(first([])).toThrow(/^generate: the prompt/);
    expect(first([9])).toThrow(ArgumentError);
    for (const temperature of [-1, NaN, Infinity]) expect(first([1], temperature)).toThrow(/temperature/);
  });
});
