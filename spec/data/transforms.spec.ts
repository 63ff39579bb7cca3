import { describe, expect, test } from "bun:test";
import { ArgumentError, data, manualSeed, NDArray, ShapeError } from "thimble";

import { onEachDevice } from "../support/devices.ts";
import { thrown } from "../support/thrown.ts";

const { RandomCrop, RandomFlipHorizontal, RandomSource } = data;
const [CHANNELS, HEIGHT, WIDTH] = [2, 4, 5] as const;
const pixel = (c: number, y: number, x: number): number => 1 + (c * HEIGHT + y) * WIDTH + x;

/** The image whose pixels are `value(c, y, x)`. */
const draw = (value: (c: number, y: number, x: number) => number): Float32Array =>
  Float32Array.from({ length: CHANNELS * HEIGHT * WIDTH }, (_, i) =>
    value(Math.floor(i / (HEIGHT * WIDTH)), Math.floor(i / WIDTH) % HEIGHT, i % WIDTH),
  );

/** The padded image, cropped at (padding + dy, padding + dx). */
const shifted = (dy: number, dx: number): Float32Array =>
  draw((c, y, x) => {
    const inside = y + dy >= 0 && y + dy < HEIGHT && x + dx >= 0 && x + dx < WIDTH;
    return inside ? pixel(c, y + dy, x + dx) : 0;
  });

onEachDevice("transforms", (device) => {
  const image = NDArray.from(draw(pixel), { shape: [CHANNELS, HEIGHT, WIDTH], device });

  test("a flip mirrors left to right, always with p = 1, never with p = 0", () => {
    const mirrored = new RandomFlipHorizontal(1).apply(image);
    expect(mirrored.device).toBe(device);
    expect(mirrored.toTypedArray()).toEqual(draw((c, y, x) => pixel(c, y, WIDTH - 1 - x)));
    expect(new RandomFlipHorizontal(0).apply(image).toTypedArray()).toEqual(image.toTypedArray());
  });

  test("a crop shifts by every integer in [-padding, padding] along both axes, about equally often, zeros coming in", () => {
    const crop = new RandomCrop({ padding: 2 });
    const expected = new Map<string, number>();
    for (let dy = -2; dy <= 2; dy++) for (let dx = -2; dx <= 2; dx++) expected.set(shifted(dy, dx).join(), 0);
    const random = new RandomSource(1);
    for (let i = 0; i < 1000; i++) {
      const key = crop.apply(image, random).toTypedArray().join();
      expected.set(key, expected.get(key)! + 1); // NaN if the crop is none of those
    }
    expect(expected.size).toBe(25);
    for (const count of expected.values()) expect(Math.abs(count - 40)).toBeLessThan(28);
  });

  test("a crop may move the whole image out", () => {
    const crop = new RandomCrop({ padding: 100 });
    const random = new RandomSource(3);
    const sums = Array.from({ length: 20 }, () =>
      crop
        .apply(image, random)
        .toTypedArray()
        .some((value) => value > 0),
    );
    expect(sums).toContain(false);
  });

  test("views are transformed as what they show", () => {
    const view = image.flip(1);
    expect(new RandomFlipHorizontal(1).apply(view).toTypedArray()).toEqual(
      draw((c, y, x) => pixel(c, HEIGHT - 1 - y, WIDTH - 1 - x)),
    );
  });

  test("the image itself is left alone", () => {
    const result = new RandomCrop({ padding: 0 }).apply(image);
    result.set(null, 0);
    expect(image.toTypedArray()).toEqual(draw(pixel));
  });

  test("without a source they draw from the generator that manualSeed seeds", () => {
    const run = (): string[] => {
      manualSeed(11);
      const crop = new RandomCrop({ padding: 2 });
      return Array.from({ length: 10 }, () => crop.apply(image).toTypedArray().join());
    };
    const first = run();
    expect(run()).toEqual(first);
    expect(new Set(first).size).toBeGreaterThan(3);
  });

  test("what is no image is a ShapeError", () => {
    expect(thrown(() => new RandomFlipHorizontal(1).apply(NDArray.zeros([4, 4], { device })))).toBeInstanceOf(
      ShapeError,
    );
  });
});

test("arguments that make no sense are ArgumentErrors", () => {
  // @ts-expect-error: a number where options are expected, as in Python
  expect(thrown(() => new RandomCrop(4))).toBeInstanceOf(ArgumentError);
  // @ts-expect-error: no NDArray
  expect(thrown(() => new RandomCrop().apply([[[1]]]))).toBeInstanceOf(ArgumentError);
  for (const p of [-0.1, 1.1, NaN]) expect(thrown(() => new RandomFlipHorizontal(p))).toBeInstanceOf(ArgumentError);
  for (const padding of [-1, 0.5, NaN, Infinity]) {
    expect(thrown(() => new RandomCrop({ padding }))).toBeInstanceOf(ArgumentError);
  }
});

describe("RandomSource", () => {
  test("after at(i) depends on seed, stream and i alone", () => {
    const a = new RandomSource(1, 2);
    const first = [a.at(7).uniform(), a.uniform()];
    a.at(8).uniform();
    expect([a.at(7).uniform(), a.uniform()]).toEqual(first);
    const others = [new RandomSource(2, 2).at(7), new RandomSource(1, 3).at(7), new RandomSource(1, 2).at(8)];
    for (const other of others) expect(other.uniform()).not.toBe(first[0]!);
  });

  test("is uniform: over examples, over epochs, over seeds, and within one example", () => {
    const sequences = [
      (i: number) => new RandomSource(0, 0).at(i).uniform(),
      (i: number) => new RandomSource(0, i).at(0).uniform(),
      (i: number) => new RandomSource(i, 0).at(0).uniform(),
    ];
    const one = new RandomSource(5).at(1);
    sequences.push(() => one.uniform());
    for (const draws of sequences) {
      const counts = new Array<number>(16).fill(0);
      for (let i = 0; i < 16_000; i++) counts[Math.floor(draws(i) * 16)]!++;
      const chiSquared = counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
      expect(chiSquared).toBeLessThan(45); // 15 degrees of freedom: exceeded once in 13,000
    }
  });

  test("neighbouring examples and successive draws are not correlated", () => {
    const random = new RandomSource(9, 1);
    const first = Array.from({ length: 4000 }, (_, i) => random.at(i).uniform() - 0.5);
    const second = Array.from({ length: 4000 }, (_, i) => (random.at(i).uniform(), random.uniform() - 0.5));
    const correlation = (a: number[], b: number[]): number =>
      a.reduce((sum, v, i) => sum + v * (b[i] ?? 0), 0) * (12 / 4000);
    expect(Math.abs(correlation(first, first.slice(1)))).toBeLessThan(0.07);
    expect(Math.abs(correlation(first, second))).toBeLessThan(0.07);
  });

  test("integers have both ends", () => {
    const random = new RandomSource(3);
    expect(new Set(Array.from({ length: 200 }, () => random.integer(-2, 2)))).toEqual(new Set([-2, -1, 0, 1, 2]));
  });
});
