import { describe, expect, test } from "bun:test";
import { ArgumentError, cpu, data, DTypeError, manualSeed, NDArray, ShapeError, Tensor, tensor } from "thimble";

import { onEachDevice } from "../support/devices.ts";
import { thrown } from "../support/thrown.ts";

const { DataLoader, NDArrayDataset } = data;

/** Example i is [[i, -i], i]. */
const numbers = (length: number) => ({
  length,
  get: (i: number): [NDArray, number] => [NDArray.from([i, -i]), i],
});
type Loader = Iterable<[Tensor, Tensor]>;
const labels = (loader: Loader): number[][] => Array.from(loader, ([, y]) => Array.from(y.toTypedArray()));
const sorted = (batches: number[][]): number[] => batches.flat().sort((a, b) => a - b);
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

onEachDevice("DataLoader", (device) => {
  test("stacks examples into tensors on the device: arrays along a new axis, integers into int32", () => {
    const batches = [...new DataLoader(numbers(5), { batchSize: 2, device })];
    const [x, y] = batches[1]!;
    expect(x).toBeInstanceOf(Tensor);
    expect([x.shape, x.dtype, x.device, x.requiresGrad]).toEqual([[2, 2], "float32", device, false]);
    expect([y.shape, y.dtype, y.device]).toEqual([[2], "int32", device]);
    expect(x.toArray()).toEqual([
      [2, -2],
      [3, -3],
    ]);
    expect(y.toArray()).toEqual([2, 3]);
    expect(batches.map(([last]) => last.shape[0])).toEqual([2, 2, 1]);
  });

  test("stacks what NDArrayDataset gives, views and tensors among it", () => {
    const images = NDArray.from(Float32Array.from(range(24)), { shape: [2, 4, 3], device }).permute([1, 2, 0]);
    const ids = new Tensor(NDArray.from(Int32Array.of(3, 2, 1, 0), { device }));
    const dataset = new NDArrayDataset(images, ids, new Float64Array([0.5, 1.5, 2.5, 3.5]));
    const [[x, y, z]] = [...new DataLoader(dataset, { batchSize: 4, device })] as [[Tensor, Tensor, Tensor]];
    expect(x.toArray()).toEqual(images.toArray());
    expect([y.dtype, y.toArray()]).toEqual(["int32", [3, 2, 1, 0]]);
    expect([z.dtype, z.toArray()]).toEqual(["float32", [0.5, 1.5, 2.5, 3.5]]);
  });
});

describe("the order", () => {
  test("is the dataset's without shuffle, every time", () => {
    const loader = new DataLoader(numbers(7), { batchSize: 3 });
    for (let epoch = 0; epoch < 2; epoch++) expect(labels(loader)).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
  });

  test("with shuffle is another permutation each epoch, the same for the same seed", () => {
    const orders = (seed: number): number[][] => {
      const loader = new DataLoader(numbers(50), { batchSize: 8, shuffle: true, seed });
      return range(3).map(() => labels(loader).flat());
    };
    const first = orders(5);
    for (const order of first) expect(sorted([order])).toEqual(range(50));
    expect(new Set([range(50), ...first, ...orders(6)].map(String)).size).toBe(7);
    expect(orders(5)).toEqual(first);
  });

  test("without a seed is determined by manualSeed", () => {
    const order = (): string => {
      manualSeed(3);
      const loaders = range(2).map(() => new DataLoader(numbers(20), { batchSize: 20, shuffle: true }));
      return loaders.map((loader) => String(labels(loader))).join(" ");
    };
    expect(order()).toBe(order());
    const [first, second] = order().split(" ");
    expect(first).not.toBe(second!);
  });

  test("dropLast leaves out the smaller last batch", () => {
    for (const [count, batchSize, all, full] of [
      [10, 3, 4, 3],
      [9, 3, 3, 3],
      [2, 3, 1, 0],
      [0, 3, 0, 0],
    ] as const) {
      const loader = new DataLoader(numbers(count), { batchSize });
      const dropping = new DataLoader(numbers(count), { batchSize, dropLast: true, shuffle: true });
      expect([loader.length, labels(loader).length]).toEqual([all, all]);
      expect([dropping.length, labels(dropping).length]).toEqual([full, full]);
    }
  });

  test("does not depend on what was read before: two passes at once, or a pass given up", () => {
    const make = () => new DataLoader(numbers(12), { batchSize: 4, shuffle: true, seed: 1 });
    const expected = ((loader) => [labels(loader), labels(loader)])(make());
    const loader = make();
    const [a, b] = [loader[Symbol.iterator](), loader[Symbol.iterator]()];
    const read: number[][][] = [[], []];
    for (let i = 0; i < 3; i++) {
      for (const [k, pass] of [a, b].entries()) read[k]!.push(Array.from(pass.next().value![1].toTypedArray()));
    }
    expect(read).toEqual(expected);
    const broken = make();
    for (const _ of broken) break;
    expect(labels(broken)).toEqual(expected[1]!);
  });
});

describe("resuming", () => {
  test("at an epoch, and within one, gives what the whole run gives", () => {
    const flip = { apply: (image: NDArray, random?: data.RandomSource) => image.mul(random!.uniform()) };
    const make = () => {
      const pixels = Uint8Array.from({ length: 20 * 4 }, (_, i) => 200 - i);
      const dataset = new data.ImageDataset({
        name: "made up",
        pixels,
        labels: Uint8Array.from(range(20)),
        shape: [1, 2, 2],
        transforms: [flip],
      });
      return new DataLoader(dataset, { batchSize: 6, shuffle: true, seed: 9 });
    };
    const content = (loader: Loader): unknown[] => Array.from(loader, ([x, y]) => [x.toArray(), y.toArray()]);
    const whole = make();
    const epochs = range(3).map(() => content(whole));
    expect(whole.epoch).toBe(3);

    const resumed = make();
    resumed.epoch = 1;
    expect(content(resumed)).toEqual(epochs[1]!);
    expect(resumed.epoch).toBe(2);
    expect(content(resumed.pass(2, 2))).toEqual(epochs[2]!.slice(2));
    expect(resumed.epoch).toBe(2);
    expect(String(epochs[0])).not.toBe(String(epochs[1]));
  });
});

describe("what does not fit is a typed error", () => {
  test("options", () => {
    const dataset = numbers(3);
    const wrong: (() => unknown)[] = [
      ...[0, -1, NaN, Infinity, 1.5, 2 ** 31].map((batchSize) => () => new DataLoader(dataset, { batchSize })),
      ...[0.5, NaN, 2 ** 40].map((seed) => () => new DataLoader(dataset, { batchSize: 1, seed })),
      // @ts-expect-error: no options
      () => new DataLoader(dataset),
      // @ts-expect-error: a number where options are expected
      () => new DataLoader(dataset, 128),
      // @ts-expect-error: no number
      () => new DataLoader(dataset, { batchSize: "2" }),
      // @ts-expect-error: no boolean
      () => new DataLoader(dataset, { batchSize: 1, shuffle: "yes" }),
      // @ts-expect-error: no Device
      () => new DataLoader(dataset, { batchSize: 1, device: "cpu" }),
      // @ts-expect-error: no length
      () => new DataLoader({ get: dataset.get }, { batchSize: 1 }),
      // @ts-expect-error: no get
      () => new DataLoader({ length: 3 }, { batchSize: 1 }),
      // @ts-expect-error: nothing
      () => new DataLoader(undefined, { batchSize: 1 }),
      () => new DataLoader({ ...dataset, length: NaN }, { batchSize: 1 }),
      () => (new DataLoader(dataset, { batchSize: 1 }).epoch = -1),
      () => new DataLoader(dataset, { batchSize: 1 }).pass(0, 0.5),
    ];
    for (const run of wrong) expect(thrown(run)).toBeInstanceOf(ArgumentError);
  });

  test("examples of several shapes, dtypes or lengths, and what is no array", () => {
    const read = (get: (i: number) => unknown) =>
      thrown(() => [...new DataLoader({ length: 2, get: get as (i: number) => [NDArray, number] }, { batchSize: 2 })]);
    expect(read((i) => [NDArray.zeros([i + 1]), 0])).toBeInstanceOf(ShapeError);
    expect(read((i) => [NDArray.zeros([1], { dtype: i ? "int32" : "float32" }), 0])).toBeInstanceOf(DTypeError);
    expect(read((i) => (i ? [NDArray.zeros([1])] : [NDArray.zeros([1]), 0]))).toBeInstanceOf(ArgumentError);
    expect(read((i) => [NDArray.zeros([1]), i ? "cat" : 0])).toBeInstanceOf(DTypeError);
    expect(read(() => ["cat", 0])).toBeInstanceOf(ArgumentError);
    expect(read(() => 5)).toBeInstanceOf(ArgumentError);
    expect(String(read(async () => [NDArray.zeros([1]), 0]))).toMatch(/not Promise.*must not be async/);
  });

  test("NDArrayDataset: lengths that differ, scalars, nothing, indices outside", () => {
    const wrong: (() => unknown)[] = [
      () => new NDArrayDataset(new Float32Array(3), new Int32Array(2)),
      () => new NDArrayDataset(NDArray.from(1)),
    ];
    for (const run of wrong) expect(thrown(run)).toBeInstanceOf(ShapeError);
    const dataset = new NDArrayDataset(new Float32Array(3));
    for (const i of [-1, 3, 0.5, NaN]) expect(thrown(() => dataset.get(i))).toBeInstanceOf(ArgumentError);
    expect(thrown(() => new NDArrayDataset())).toBeInstanceOf(ArgumentError);
    // @ts-expect-error: no array
    expect(thrown(() => new NDArrayDataset("abc"))).toBeInstanceOf(ArgumentError);
  });
});

test("NDArrayDataset gives rows as views of its arrays", () => {
  const x = NDArray.from([
    [1, 2],
    [3, 4],
  ]);
  const dataset = new NDArrayDataset(x, Int32Array.of(7, 8));
  const [row, label] = dataset.get(1);
  expect([dataset.length, row.toArray(), label.item(), label.dtype]).toEqual([2, [3, 4], 8, "int32"]);
  x.set([1, 0], 9);
  expect(row.toArray()).toEqual([9, 4]);
  expect(row.device).toBe(cpu());
});

describe("examples may be given as", () => {
  const forms: Record<string, (i: number) => data.Item> = {
    "an array": (i) => NDArray.from([i, -i]),
    "a tensor": (i) => tensor([i, -i]),
    "a typed array": (i) => Float32Array.of(i, -i),
    "a list of numbers": (i) => [i, -i],
  };
  for (const [name, form] of Object.entries(forms)) {
    test(name, () => {
      const dataset: data.Dataset = { length: 3, get: (i) => [form(i), i] };
      const [[x, y]] = [...new data.DataLoader(dataset, { batchSize: 3 })] as [[Tensor, Tensor]];
      expect([x.dtype, x.toArray()]).toEqual([
        "float32",
        [
          [0, -0],
          [1, -1],
          [2, -2],
        ],
      ]);
      expect([y.dtype, y.toArray()]).toEqual(["int32", [0, 1, 2]]);
    });
  }
});

test("numbers that are no integers make float32 targets", () => {
  const dataset = { length: 4, get: (i: number) => [[i], i / 2] as const };
  const targets = [...new data.DataLoader(dataset, { batchSize: 2 })].map(([, y]) => [y.dtype, y.toArray()]);
  expect(targets).toEqual([["float32", [0, 0.5]], ["float32", [1, 1.5]]]); // prettier-ignore
});

test("a class that overrides get is asked for its examples one by one, not for its parent's batches", () => {
  class Inverted extends data.ImageDataset {
    override get(i: number, random?: data.RandomSource): [NDArray, number] {
      const [image, label] = super.get(i, random);
      return [image.neg(), label + 100];
    }
  }
  const two = {
    name: "two",
    pixels: Uint8Array.of(255, 0, 51, 255),
    labels: Uint8Array.of(0, 1),
    shape: [1, 1, 2] as const,
  };
  const [batch] = [...new data.DataLoader(new Inverted(two), { batchSize: 2 })];
  expect(batch!.map((part) => part.reshape([-1]).toArray())).toEqual([[-1, -0, expect.closeTo(-0.2), -1], [100, 101]]); // prettier-ignore
});

test("manualSeed governs the order of a loader that was made before it, but for one with a seed of its own", () => {
  const dataset = new data.NDArrayDataset(NDArray.from([...Array(50).keys()]));
  const order = (loader: Iterable<readonly unknown[]>) => [...loader].flatMap(([x]) => (x as Tensor).toArray());
  const loader = new data.DataLoader(dataset, { batchSize: 5, shuffle: true });
  manualSeed(5);
  const [first, second] = [order(loader), order(loader)];
  expect(second).not.toEqual(first);
  manualSeed(5);
  expect([order(loader), order(loader)]).toEqual([first, second]);
  manualSeed(6);
  expect(order(loader)).not.toEqual(first);
  const fixed = new data.DataLoader(dataset, { batchSize: 5, shuffle: true, seed: 1 });
  const epochs = (manualSeed(5), [order(fixed), order(fixed)]);
  manualSeed(5);
  expect(order(fixed)).not.toEqual(epochs[0]!);
});

test("a loader without a seed draws it when it is made, and keeps an epoch that was set before the first pass", () => {
  const dataset = new data.NDArrayDataset(NDArray.from([...Array(50).keys()]));
  const make = () => new data.DataLoader(dataset, { batchSize: 50, shuffle: true });
  const order = (loader: data.DataLoader<readonly unknown[] & data.Example>) =>
    [...loader].map(([x]) => (x as Tensor).toArray());
  manualSeed(5);
  const whole = make();
  const epochs = [order(whole), order(whole), order(whole)];
  manualSeed(5);
  const resumed = make();
  resumed.epoch = 2;
  expect(order(resumed)).toEqual(epochs[2]!);
  manualSeed(5);
  expect(whole.epoch).toBe(0);
  whole.epoch = 1;
  expect(order(whole)).toEqual(epochs[1]!);
});
