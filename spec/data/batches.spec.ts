/** What makes a batch: the whole-batch paths, and the options that change it. */
import { describe, expect, test } from "bun:test";
import { ArgumentError, cpu, data, DTypeError, manualSeed, NDArray, type Tensor } from "thimble";

import { onEachDevice } from "../support/devices.ts";
import { thrown } from "../support/thrown.ts";

const { DataLoader, NDArrayDataset, randomSplit, RandomSource, Subset } = data;
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const counting = (shape: number[], options: object = {}) =>
  NDArray.from(Float32Array.from(range(shape.reduce((a, b) => a * b, 1))), { shape, ...options });

onEachDevice("a batch of NDArrayDataset", (device) => {
  const indices = Int32Array.of(3, 0, 6, 3);
  const arrays: Record<string, () => NDArray> = {
    "one axis": () => counting([7], { device }),
    "int32 at its limits": () => NDArray.from(Int32Array.of(-(2 ** 31), 2 ** 31 - 1, 0, 0x7f800001, 4, 5, -1), { device }),
    "three axes": () => counting([7, 2, 3], { device }),
    "five axes": () => counting([7, 1, 2, 1, 3], { device }),
    "empty rows": () => counting([7, 0], { device }),
    "columns of a wider array": () => counting([7, 4], { device }).slice(null, [1, 3]),
    "a transposed array": () => counting([3, 7], { device }).transpose(),
    "a reversed array": () => counting([7, 2], { device }).flip(0),
    "rows of a longer array": () => counting([9, 2], { device }).slice([2, 9]),
    "an array on the CPU": () => counting([7, 2]),
  }; // prettier-ignore
  for (const [name, make] of Object.entries(arrays)) {
    test(`is the rows, copied: ${name}`, () => {
      const array = make();
      const dataset = new NDArrayDataset(array, make());
      const [rows, again] = dataset.batch(indices, new RandomSource(0), device);
      const expected = data.collate([...indices].map((i) => dataset.get(i)), device)[0]!; // prettier-ignore
      expect([rows!.shape, rows!.dtype, rows!.device]).toEqual([[4, ...array.shape.slice(1)], array.dtype, device]);
      expect(rows!.toTypedArray()).toEqual(expected.toTypedArray());
      expect(again!.toTypedArray()).toEqual(expected.toTypedArray());
      const before = array.toTypedArray();
      rows!.set(null, 1);
      expect(array.toTypedArray()).toEqual(before);
      const empty = dataset.batch(new Int32Array(0), new RandomSource(0), device)[0]!;
      expect(empty.shape).toEqual([0, ...array.shape.slice(1)]);
    });
  }

  test("follows later writes, holds no memory, and refuses indices outside", () => {
    const x = counting([7, 2], { device });
    const dataset = new NDArrayDataset(x);
    x.set([6, 0], -5);
    const live = device.memory().live;
    const batches = [...new DataLoader(dataset, { batchSize: 3, device })].map(([rows]) => {
      const values = rows!.toArray();
      rows!.dispose();
      return values;
    });
    expect(device.memory().live).toBeLessThanOrEqual(live);
    expect(batches).toEqual([x.slice([0, 3]).toArray(), x.slice([3, 6]).toArray(), [[-5, 13]]]);
    for (const i of [-1, 7]) {
      const run = () => dataset.batch(Int32Array.of(0, i), new RandomSource(0), device);
      expect(thrown(run)).toBeInstanceOf(ArgumentError);
    }
  });
});

test("NDArrayDataset reads a batch in one call, and single rows only where a subclass overrides get", () => {
  class Doubled extends NDArrayDataset<readonly [NDArray]> {
    reads = 0;
    override get(i: number): [NDArray] {
      this.reads++;
      return [super.get(i)[0].mul(2)];
    }
  }
  const x = counting([5, 2]);
  const doubled = new Doubled(x);
  const [[y]] = [...new DataLoader(doubled, { batchSize: 5 })] as [[Tensor]];
  expect([doubled.reads, y.toArray()]).toEqual([5, x.mul(2).toArray()]);
  class Counted extends NDArrayDataset<readonly [NDArray]> {
    reads = 0;
    override get(i: number): [NDArray] {
      this.reads++;
      return super.get(i);
    }
    override batch(...given: Parameters<data.NDArrayDataset<readonly [NDArray]>["batch"]>): [NDArray] {
      return super.batch(...given);
    }
  }
  const counted = new Counted(x);
  expect([...new DataLoader(counted, { batchSize: 2 })].flatMap(([rows]) => rows.toArray())).toEqual(x.toArray() as number[][]); // prettier-ignore
  expect(counted.reads).toBe(0);
});

describe("numbers", () => {
  const dataset = { length: 4, get: (i: number) => [[i], i * 0.5] as const };
  const image = { name: "i", pixels: new Uint8Array(4), labels: Uint8Array.of(1, 2, 3, 4), shape: [1, 1, 1] as const };
  const dtypes = <E extends data.Example>(of: data.Dataset<E>, numbers?: "float32" | "int32") =>
    [...new DataLoader(of, { batchSize: 1, numbers })].map((batch) => batch.at(-1)!.dtype);

  test("decides the dtype of labels in all batches alike", () => {
    expect(dtypes(dataset, "float32")).toEqual(Array(4).fill("float32"));
    expect(dtypes(new Subset(dataset, [0, 1]), "float32")).toEqual(["float32", "float32"]);
    expect(dtypes(new data.ImageDataset(image), "float32")).toEqual(Array(4).fill("float32"));
    expect(dtypes(new data.ImageDataset(image))).toEqual(Array(4).fill("int32"));
    expect(dtypes(new NDArrayDataset(counting([2, 1]), Int32Array.of(1, 2)), "float32")).toEqual(["int32", "int32"]);
    expect(thrown(() => dtypes(dataset, "int32"))).toBeInstanceOf(DTypeError);
    expect(thrown(() => new DataLoader(dataset, { batchSize: 1, numbers: "float64" as "float32" }))).toBeInstanceOf(DTypeError); // prettier-ignore
  });
});

describe("Subset and randomSplit", () => {
  const pixels = Uint8Array.from({ length: 20 * 9 }, (_, i) => (i * 37) & 255);
  const transforms = [new data.RandomCrop({ padding: 2 }), new data.RandomFlipHorizontal()];
  const images = new data.ImageDataset({ name: "i", pixels, labels: Uint8Array.from(range(20)), shape: [1, 3, 3], transforms }); // prettier-ignore

  test("a subset augments as the whole does, in a batch and one by one", () => {
    const indices = [7, 3, 19, 3];
    const subset = new Subset(images, indices);
    const [x, y] = subset.batch(Int32Array.of(0, 1, 2, 3), new RandomSource(1, 2), cpu());
    const [whole] = images.batch(Int32Array.from(indices), new RandomSource(1, 2), cpu());
    expect([y.toArray(), x.toTypedArray()]).toEqual([indices, whole.toTypedArray()]);
    const single = subset.get(2, new RandomSource(1, 2).at(2))[0];
    expect(single.toTypedArray()).toEqual(x.slice(2).toTypedArray());
    const inner = new Subset(subset, new Set([2, 0]));
    expect([...new DataLoader(inner, { batchSize: 2 })][0]![1].toArray()).toEqual([19, 7]);
  });

  test("randomSplit gives as many parts as there are lengths, which TypeScript knows", () => {
    const [train, valid] = randomSplit(images, [0.9, 0.1], { seed: 1 });
    expect([train.length, valid.length]).toEqual([18, 2]);
  });

  test("randomSplit gives each example to one part, by lengths or fractions, as the seed says", () => {
    const parts = (lengths: number[], seed?: number) =>
      randomSplit(images, lengths, { seed }).map((s) => Array.from(s.indices));
    const sizes = (lengths: number[]) => parts(lengths, 1).map((part) => part.length);
    expect(parts([12, 5, 3], 4).flat().sort((a, b) => a - b)).toEqual(range(20)); // prettier-ignore
    expect(parts([12, 8], 4)).toEqual(parts([12, 8], 4));
    expect(parts([12, 8], 4)).not.toEqual(parts([12, 8], 5));
    manualSeed(3);
    const first = parts([10, 10]);
    expect(parts([10, 10])).not.toEqual(first);
    manualSeed(3);
    expect(parts([10, 10])).toEqual(first);
    expect([sizes([0.7, 0.2, 0.1]), sizes([0.33, 0.33, 0.34]), sizes([20, 0]), sizes([1])]).toEqual([
      [14, 4, 2], [7, 7, 6], [20, 0], [20],
    ]); // prettier-ignore
    for (const wrong of [[10, 11], [0.5, 0.6], [-1, 21], [NaN], [], [10.5, 9.5], "20"])
      expect(thrown(() => randomSplit(images, wrong as number[]))).toBeInstanceOf(ArgumentError);
    expect(thrown(() => randomSplit(images, [20], { seed: 0.5 }))).toBeInstanceOf(ArgumentError);
    for (const wrong of [[20], [-1], [0.5], 3, null])
      expect(thrown(() => new Subset(images, wrong as number[]))).toBeInstanceOf(ArgumentError);
    for (const i of [-1, 1]) expect(thrown(() => new Subset(images, [3]).get(i))).toBeInstanceOf(ArgumentError);
  });
});

describe("transformBatch", () => {
  const dataset = new NDArrayDataset(counting([6, 2]), Int32Array.from(range(6)));
  test("changes every batch, by the seed, the epoch and the batch alone, and leaves nothing behind", () => {
    const make = () =>
      new DataLoader(dataset, {
        batchSize: 4,
        seed: 3,
        transformBatch: ([x, y], random) => [x.mul(2).add(random.uniform()), y],
      });
    const read = (loader: Iterable<[Tensor, Tensor]>) =>
      [...loader].map(([x, y]) => {
        const values = [x.toArray(), y.toArray()];
        for (const part of [x, y]) part.dispose();
        return values;
      });
    const live = cpu().memory().live;
    const loader = make();
    const [first, second] = [read(loader), read(loader)];
    expect(cpu().memory().live).toBeLessThanOrEqual(live);
    expect(first.map(([, y]) => y)).toEqual([[0, 1, 2, 3], [4, 5]]); // prettier-ignore
    expect(first).not.toEqual(second);
    expect(read(make().pass(1, 1))).toEqual(second.slice(1));
    const [[x]] = first as [[number[][]]];
    expect(x[1]![1]! - x[0]![0]!).toBeCloseTo(6, 4);
  });

  test("that returns anything else, and one beside collate, is refused", () => {
    const refused = (options: object) => thrown(() => [...new DataLoader(dataset, { batchSize: 2, ...options })]);
    for (const made of [undefined, [], [counting([2])], [1, 2], Promise.resolve([])])
      expect(refused({ transformBatch: () => made })).toBeInstanceOf(ArgumentError);
    for (const wrong of [{ collate: 3 }, { transformBatch: "x" }, { collate: () => 1, numbers: "int32" }])
      expect(refused(wrong)).toBeInstanceOf(ArgumentError);
  });
});

test("collate makes of ragged examples what the iteration yields", () => {
  const ragged = { length: 3, get: (i: number): [number[], number] => [range(i + 1), i] };
  const loader = new DataLoader(ragged, {
    batchSize: 2,
    collate: (examples, device) => ({ lengths: examples.map(([words]) => words.length), device }),
  });
  const lengths: number[][] = [...loader].map((batch) => batch.lengths);
  expect([lengths, loader.fresh, new DataLoader(ragged, { batchSize: 1 }).fresh]).toEqual([[[1, 2], [3]], false, true]);
});
