import { expect, test } from "bun:test";
import {
  ArgumentError,
  cpu,
  defaultGenerator,
  Generator,
  init,
  manualSeed,
  NDArray,
  ops,
  ShapeError,
  Tensor,
  tensor,
} from "thimble";

import { onEachDevice } from "../support/devices.ts";
import { liveBytes } from "../support/live-bytes.ts";
import { Random } from "../support/random.ts";

/** Pearson's statistic of counts against probabilities; those that are zero must not have come. */
function chiSquared(found: readonly number[], probabilities: readonly number[]): number {
  const total = found.reduce((sum, n) => sum + n, 0);
  return probabilities.reduce((sum, p, i) => {
    if (p === 0) expect(found[i]).toBe(0);
    return p === 0 ? sum : sum + (found[i]! - total * p) ** 2 / (total * p);
  }, 0);
}

/** What chance exceeds once in a thousand times (Wilson and Hilferty, 1931). */
const limit = (freedom: number): number => freedom * (1 - 2 / (9 * freedom) + 3.09 * Math.sqrt(2 / (9 * freedom))) ** 3;

function counts(indices: ArrayLike<number>, classes: number): number[] {
  const found = new Array<number>(classes).fill(0);
  for (const index of Array.from(indices)) found[index]!++;
  return found;
}

const softmax = (logits: readonly number[]): number[] => {
  const weights = logits.map(Math.exp);
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / sum);
};

onEachDevice("multinomial", (device) => {
  test("with replacement: in proportion to the weights, row by row", () => {
    const weights = [[0, 3, 0.5, 0, 6.5], [1, 1, 1, 1, 1], [0, 0, 1e-30, 3e-30, 0]]; // prettier-ignore
    const indices = ops.multinomial(tensor(weights, { device }), 20_000, {
      replacement: true,
      generator: new Generator(1),
    });
    expect([indices.shape, indices.dtype, indices.device]).toEqual([[3, 20_000], "int32", device]);
    weights.forEach((row, i) => {
      const sum = row.reduce((a, b) => a + b, 0);
      const found = counts(indices.slice(i).toTypedArray(), 5);
      expect(
        chiSquared(
          found,
          row.map((w) => w / sum),
        ),
      ).toBeLessThan(limit(row.filter((w) => w > 0).length - 1));
    });
  });

  test("without replacement: in the order of successive draws", () => {
    const weights = [1, 0, 2, 3, 4];
    const rows = 10_000;
    const indices = ops.multinomial(tensor([weights], { device }).broadcastTo([rows, 5]), 2, {
      generator: new Generator(2),
    });
    const pairs = Array.from(indices.toArray() as number[][], ([i, j]) => i! * 5 + j!);
    const probabilities = weights.flatMap((a, i) => weights.map((b, j) => (i === j ? 0 : ((a / 10) * b) / (10 - a))));
    expect(chiSquared(counts(pairs, 25), probabilities)).toBeLessThan(limit(11));
  });

  test("a vocabulary of 50,257: each part as often as it weighs, and all of it once without replacement", () => {
    const size = 50_257;
    const values = new Random(3).uniform(size, 0, 1).map((u, i) => (i % 7 === 0 ? 0 : u ** 4));
    const weights = tensor(values, { device });
    const parts = 100;
    const masses = new Array<number>(parts).fill(0);
    values.forEach((value, i) => (masses[i % parts]! += value));
    const sum = masses.reduce((a, b) => a + b, 0);
    const drawn = ops.multinomial(weights, 50_000, { replacement: true, generator: new Generator(3) }).toTypedArray();
    expect(drawn.some((i) => values[i] === 0)).toBe(false);
    expect(chiSquared(counts(drawn.map((i) => i % parts), parts), masses.map((mass) => mass / sum))).toBeLessThan(limit(parts - 1)); // prettier-ignore
    const there = values.filter((value) => value > 0).length;
    const each = ops.multinomial(weights, there, { generator: new Generator(4) }).toTypedArray();
    expect(new Set(each).size).toBe(there);
    expect(each.some((i) => values[i] === 0)).toBe(false);
  });

  test("weights of very different sizes", () => {
    const drawn = ops.multinomial(tensor([1e-45, 3e38, 1e-20, 0], { device }), 3);
    expect(drawn.toArray()).toEqual([1, 2, 0]);
    const one = ops.multinomial(tensor([0, 0, 1e-45], { device }), 9, { replacement: true });
    expect(one.toTypedArray()).toEqual(new Int32Array(9).fill(2));
    expect(
      ops
        .multinomial(tensor([3e38, 3e38], { device }), 2)
        .toTypedArray()
        .sort(),
    ).toEqual(new Int32Array([0, 1]));
  });

  test("shapes: one axis, several, none, and views", () => {
    const generator = () => new Generator(5);
    const x = tensor(new Random(6).uniform(24, 0, 1), { shape: [2, 3, 4], device });
    expect(ops.multinomial(x, 3).shape).toEqual([2, 3, 3]);
    expect(ops.multinomial(tensor([0.5], { device }), 1).toArray()).toEqual([0]);
    expect(ops.multinomial(new Tensor(NDArray.zeros([0, 3], { device })), 2).shape).toEqual([0, 2]);
    expect(ops.multinomial(new Tensor(NDArray.zeros([0, 0], { device })), 2).shape).toEqual([0, 2]);
    const view = x.transpose(0, 2);
    const draw = (weights: Tensor) => ops.multinomial(weights, 2, { generator: generator() }).toArray();
    expect(draw(view)).toEqual(draw(tensor(view)));
    const sparse = x.flip().slice(null, [0, null, 2]);
    expect(draw(sparse)).toEqual(draw(tensor(sparse)));
  });

  test("the same on every device, from the seed alone, and without a gradient", () => {
    const values = new Random(7).uniform(500 * 33, 0, 1);
    const draws = (on: typeof device) => {
      manualSeed(8);
      const weights = tensor(values, { shape: [33, 500], device: on, requiresGrad: true });
      const all = [
        ops.multinomial(weights, 7),
        ops.multinomial(weights, 7),
        ops.multinomial(weights, 300, { replacement: true }),
      ];
      const [p, logits] = [weights.mul(0.5), weights.mul(9)];
      const made = [...all, ops.bernoulli(p), ops.sample(logits, { topK: 40, topP: 0.9 })];
      expect(made.some((each) => each.requiresGrad)).toBe(false);
      return made.map((each) => each.toTypedArray());
    };
    const here = draws(device);
    expect(here).toEqual(draws(cpu()));
    expect(here[0]).not.toEqual(here[1]!);
  });

  test("a generator of its own leaves the default one alone, and goes on", () => {
    manualSeed(9);
    const before = defaultGenerator.state;
    const generator = new Generator(10);
    const draw = () => ops.multinomial(tensor(new Float32Array(99).fill(1), { device }), 5, { generator }).toArray();
    const [first, second] = [draw(), draw()];
    expect(first).not.toEqual(second);
    generator.state = { seed: 10, stream: 0 };
    expect([draw(), draw()]).toEqual([first, second]);
    ops.bernoulli(init.zeros([2], { device }), { generator });
    ops.sample(init.zeros([2], { device }), { generator });
    expect(defaultGenerator.state).toEqual(before);
    expect(generator.state.stream).toBe(4);
  });

  test("weights by which nothing can be drawn are refused", () => {
    const of = (weights: number[] | number[][]) => tensor(weights, { device });
    for (const bad of [-1e-30, NaN, Infinity, -Infinity])
      expect(() => ops.multinomial(of([[1, 2], [bad, 3]]), 1)).toThrow(/^multinomial: the weights must be finite, and none negative.*\(2, 2\)/); // prettier-ignore
    expect(() => ops.multinomial(of([[1, 2], [0, -0]]), 1)).toThrow(/^multinomial: the weights of row 1 are all zero/); // prettier-ignore
    expect(() => ops.multinomial(of([[1, 2, 3], [1, 0, 3]]), 3)).toThrow(/^multinomial: 3 indices cannot be drawn without replacement: 2 weights of row 1/); // prettier-ignore
    expect(() => ops.multinomial(of([1]), 2)).toThrow(ArgumentError);
    expect(ops.multinomial(of([1]), 2, { replacement: true }).toArray()).toEqual([0, 0]);
    expect(() => ops.multinomial(new Tensor(NDArray.zeros([2, 0], { device })), 1)).toThrow(
      /there are no weights.*\(2, 0\)/,
    );
    for (const count of [0, -1, 1.5, NaN])
      expect(() => ops.multinomial(of([1]), count)).toThrow(/^multinomial: numSamples must be an integer/);
    expect(() => ops.multinomial(tensor(1, { device }), 1)).toThrow(ShapeError);
    expect(() => ops.multinomial(tensor([1], { dtype: "int32", device }), 1)).toThrow(
      /^multinomial: the weights must be float32/,
    );
    // @ts-expect-error: a seed is no generator
    expect(() => ops.multinomial(of([1]), 1, { generator: 3 })).toThrow(
      /^multinomial: generator must be a Generator, not 3/,
    );
    // @ts-expect-error: no switch
    expect(() => ops.multinomial(of([1]), 1, { replacement: 1 })).toThrow(
      /^multinomial: replacement must be true or false/,
    );
    const many = init.ones([2 ** 11, 1], { device });
    expect(() => ops.multinomial(many, 2 ** 21, { replacement: true })).toThrow(/^multinomial: an array has at most/);
  });
});

onEachDevice("bernoulli", (device) => {
  test("is 1 as often as p says, of any shape and layout", () => {
    const rates = [0, 0.1, 0.5, 0.93, 1];
    const n = 20_000;
    const p = tensor(rates, { device }).unsqueeze(1).broadcastTo([5, n]);
    const drawn = ops.bernoulli(p, { generator: new Generator(1) });
    expect([drawn.shape, drawn.dtype, drawn.device]).toEqual([[5, n], "float32", device]);
    drawn.sum(1).toTypedArray().forEach((ones, i) => {
      const rate = rates[i]!;
      expect(Math.abs(ones - n * rate)).toBeLessThanOrEqual(4 * Math.sqrt(n * rate * (1 - rate)));
    }); // prettier-ignore
    expect(drawn.equal(0).maximum(drawn.equal(1)).all().item()).toBe(1);
    expect(ops.bernoulli(tensor(1, { device })).item()).toBe(1);
    expect(ops.bernoulli(new Tensor(NDArray.zeros([0, 2], { device }))).shape).toEqual([0, 2]);
    const square = tensor(new Random(2).uniform(49, 0, 1), { shape: [7, 7], device }).transpose();
    const draw = (q: Tensor) => ops.bernoulli(q, { generator: new Generator(3) }).toArray();
    expect(draw(square)).toEqual(draw(tensor(square)));
  });

  test("what is no probability is refused", () => {
    for (const bad of [-0.1, 1.1, NaN])
      expect(() => ops.bernoulli(tensor([0.5, bad], { device }))).toThrow(
        /^bernoulli: probabilities must be in \[0, 1\].*\(2,\)/,
      );
    expect(() => ops.bernoulli(tensor([1], { dtype: "int32", device }))).toThrow(/^bernoulli: p must be float32/);
  });
});

onEachDevice("sample", (device) => {
  const logits = [1, -2, 0.5, 3, -Infinity, 2.5, 0];
  const n = device === cpu() ? 20_000 : 300; // an emulated row takes a millisecond
  const many = tensor([logits], { device }).broadcastTo([n, logits.length]);
  const found = (options: ops.SampleOptions): number[] => {
    const indices = ops.sample(many, { generator: new Generator(4), ...options });
    expect([indices.shape, indices.dtype]).toEqual([[n], "int32"]);
    return counts(indices.toTypedArray(), logits.length);
  };
  /** The probabilities of those that are kept. */
  const among = (kept: readonly number[], temperature = 1): number[] =>
    softmax(logits.map((logit, i) => (kept.includes(i) ? logit / temperature : -Infinity)));

  test("draws with the probabilities of softmax at a temperature", () => {
    for (const temperature of [1, 0.4, 5])
      expect(chiSquared(found({ temperature }), among([0, 1, 2, 3, 5, 6], temperature))).toBeLessThan(limit(5));
    for (const temperature of [1e-5, 1e-40, 1e-300, 0]) expect(found({ temperature })[3]).toBe(n);
    expect(chiSquared(found({ temperature: 1e30 }), logits.map((l) => (l === -Infinity ? 0 : 1 / 6)))).toBeLessThan(limit(5)); // prettier-ignore
  });

  test("topK draws among the k likeliest", () => {
    expect(chiSquared(found({ topK: 3 }), among([3, 5, 0]))).toBeLessThan(limit(2));
    expect(chiSquared(found({ topK: 3, temperature: 2 }), among([3, 5, 0], 2))).toBeLessThan(limit(2));
    expect(found({ topK: 1 })[3]).toBe(n);
    expect(chiSquared(found({ topK: 100 }), among([0, 1, 2, 3, 5, 6]))).toBeLessThan(limit(5));
  });

  test("topP draws among the fewest whose probabilities reach it", () => {
    const p = among([0, 1, 2, 3, 5, 6]); // 3: 0.506, 5: 0.307, 0: 0.069, 2: 0.042, 6: 0.025, 1: 0.003
    expect(found({ topP: p[3]! - 1e-4 })[3]).toBe(n);
    expect(found({ topP: 1e-9 })[3]).toBe(n);
    expect(found({ topP: 1e-46 })[3]).toBe(n);
    expect(chiSquared(found({ topP: p[3]! + 1e-4 }), among([3, 5]))).toBeLessThan(limit(1));
    expect(chiSquared(found({ topP: p[3]! + p[5]! + 1e-4 }), among([3, 5, 0]))).toBeLessThan(limit(2));
    const top = among([3, 5, 0]); // of which 3 and 5 have 0.92 after topK
    expect(chiSquared(found({ topK: 3, topP: top[3]! + top[5]! - 1e-4 }), among([3, 5]))).toBeLessThan(limit(1));
    expect(chiSquared(found({ topK: 3, topP: top[3]! + top[5]! + 1e-4 }), among([3, 5, 0]))).toBeLessThan(limit(2));
  });

  test("is multinomial of softmax, for any shape, and leaves the leaves alone", () => {
    const x = tensor(new Random(5).uniform(2 * 3 * 50, -4, 4), { shape: [2, 3, 50], device, requiresGrad: true });
    const drawn = ops.sample(x, { generator: new Generator(6) });
    const expected = ops.multinomial(x.softmax(), 1, { generator: new Generator(6) }).squeeze(-1);
    expect([drawn.shape, drawn.requiresGrad]).toEqual([[2, 3], false]);
    expect(drawn.toArray()).toEqual(expected.toArray());
    expect(ops.sample(x.slice(0, 0), { topP: 0.5 }).shape).toEqual([]);
    expect(ops.sample(x, { temperature: 0 }).toArray()).toEqual(ops.argMax(x, -1).toArray());
    const view = x.transpose(0, 2);
    const draw = (of: Tensor) => ops.sample(of, { topK: 2, generator: new Generator(7) }).toArray();
    expect(draw(view)).toEqual(draw(tensor(view)));
    expect(ops.sample(new Tensor(NDArray.zeros([0, 5], { device }))).shape).toEqual([0]);
    expect(ops.sample(new Tensor(NDArray.zeros([0, 5], { device })), { topK: 2, topP: 0.5 }).shape).toEqual([0]);
    expect(ops.sample(tensor([7], { device }), { topK: 3, topP: 0.1 }).item()).toBe(0);
  });

  test("what is wrong is refused", () => {
    const x = tensor([[1, 2]], { device });
    for (const temperature of [-1, NaN, Infinity, 1e39])
      expect(() => ops.sample(x, { temperature })).toThrow(
        /^sample: temperature must be a finite number of at least 0/,
      );
    for (const topK of [0, 1.5, NaN]) expect(() => ops.sample(x, { topK })).toThrow(/^sample: topK must be an integer/);
    for (const topP of [0, -0.5, 1.5, NaN]) expect(() => ops.sample(x, { topP })).toThrow(/^sample: topP must be/);
    for (const bad of [[NaN, 1], [Infinity, 1], [-Infinity, -Infinity]]) // prettier-ignore
      for (const options of [{}, { topK: 1 }, { topP: 0.5 }, { temperature: 0 }])
        expect(() => ops.sample(tensor([[0, 1], bad], { device }), options)).toThrow(/^sample: a row of logits.*\(2, 2\)/); // prettier-ignore
    expect(() => ops.sample(tensor(1, { device }))).toThrow(ShapeError);
    expect(() => ops.sample(new Tensor(NDArray.zeros([2, 0], { device })))).toThrow(
      /^sample: there must be at least one logit/,
    );
    expect(() => ops.sample(tensor([1], { dtype: "int32", device }))).toThrow(/^sample: the logits must be float32/);
    // @ts-expect-error: no such option
    expect(() => ops.sample(x, { top_k: 3 })).toThrow(/^sample: there is no option 'top_k'/);
  });

  test("nothing is left behind", () => {
    const x = init.ones([4, 300], { device });
    const run = () =>
      [x.sample(), x.sample({ topK: 9, topP: 0.5 }), x.sample({ temperature: 0 }), x.multinomial(3), x.bernoulli()].forEach((each) => each.dispose()); // prettier-ignore
    run();
    const before = liveBytes(device);
    for (let i = 0; i < 5; i++) run();
    expect(liveBytes(device)).toBeLessThanOrEqual(before);
  });
});
