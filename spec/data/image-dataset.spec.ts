import { describe, expect, test } from "bun:test";
import { ArgumentError, cpu, data, type NDArray, ShapeError } from "thimble";

import { onEachDevice } from "../support/devices.ts";
import { thrown } from "../support/thrown.ts";

const { ImageDataset, RandomCrop, RandomFlipHorizontal, RandomSource } = data;
const COUNT = 40;
const SHAPE = [3, 5, 4] as const;
const SIZE = 60;
const pixels = Uint8Array.from({ length: COUNT * SIZE }, (_, i) => (i * 37 + 11) & 255);
const labels = Uint8Array.from({ length: COUNT }, (_, i) => (i * 7) % 10);

const make = (...transforms: data.Transform[]) =>
  new ImageDataset({ name: "made up", pixels, labels, shape: SHAPE, transforms });
/** The same transform behind a face that the fast path does not know. */
const hidden = (transform: data.Transform): data.Transform => ({
  apply: (image, random) => transform.apply(image, random),
});

onEachDevice("a batch of images", (device) => {
  const indices = Int32Array.of(3, 0, 39, 3);

  test("is the bytes over 255, NHWC in memory seen as NCHW, with labels in int32", () => {
    const [x, y] = make().batch(indices, new RandomSource(0), device);
    expect([x.shape, x.dtype, x.device]).toEqual([[4, ...SHAPE], "float32", device]);
    expect(x.permute([0, 2, 3, 1]).isCompact()).toBe(true);
    const expected = [...indices].flatMap((i) => [...pixels.subarray(i * SIZE, (i + 1) * SIZE)].map((b) => b / 255));
    expect(x.toTypedArray()).toEqual(Float32Array.from(expected));
    expect([y.dtype, y.toArray()]).toEqual(["int32", [...indices].map((i) => labels[i]!)]);
  });

  test("a transform may be a plain function", () => {
    const darker = (image: NDArray) => image.mul(0.5);
    const dataset = new ImageDataset({ name: "made up", pixels, labels, shape: SHAPE, transforms: [darker] });
    const [x] = dataset.batch(indices, new RandomSource(0), device);
    const [plain] = make().batch(indices, new RandomSource(0), device);
    expect(x.toTypedArray()).toEqual(plain.mul(0.5).toTypedArray());
    expect(dataset.get(7)[0].toTypedArray()).toEqual(make().get(7)[0].mul(0.5).toTypedArray());
  });

  const lists: Record<string, data.Transform[]> = {
    "a flip": [new RandomFlipHorizontal(0.5)],
    "a crop": [new RandomCrop({ padding: 2 })],
    "a flip, then a crop": [new RandomFlipHorizontal(0.5), new RandomCrop({ padding: 2 })],
    "a crop, then a flip": [new RandomCrop({ padding: 2 }), new RandomFlipHorizontal(0.5)],
    "flips around a crop": [
      new RandomFlipHorizontal(0.5),
      new RandomCrop({ padding: 3 }),
      new RandomFlipHorizontal(0.7),
    ],
    "two crops": [new RandomCrop({ padding: 3 }), new RandomCrop({ padding: 3 })],
    "a crop larger than the image": [new RandomCrop({ padding: 9 })],
  };
  for (const [name, transforms] of Object.entries(lists)) {
    test(`${name}: the batch, single examples, and the transforms applied one by one agree bit for bit`, () => {
      const all = Int32Array.from({ length: COUNT }, (_, i) => i);
      const fast = make(...transforms);
      const [x, y] = fast.batch(all, new RandomSource(1, 2), device);
      const [slow, slowLabels] = make(...transforms.map(hidden)).batch(all, new RandomSource(1, 2), device);
      expect(x.toTypedArray()).toEqual(slow.toTypedArray());
      expect(y.toArray()).toEqual(slowLabels.toArray());
      const single = fast.get(17, new RandomSource(1, 2).at(17))[0];
      expect(x.slice(17).toTypedArray()).toEqual(single.toTypedArray());
      const plain = make().batch(all, new RandomSource(1, 2), device)[0];
      expect(x.toTypedArray()).not.toEqual(plain.toTypedArray());
    });
  }

  test("with a transform of the user's is made from single examples", () => {
    const darken = { apply: (image: NDArray) => image.mul(0.5) };
    const [x] = make(darken, new RandomFlipHorizontal(1)).batch(indices, new RandomSource(0), device);
    const [plain] = make(new RandomFlipHorizontal(1)).batch(indices, new RandomSource(0), device);
    expect(x.device).toBe(device);
    expect(x.toTypedArray()).toEqual(plain.mul(0.5).toTypedArray());
  });
});

describe("an image dataset", () => {
  test("of a subclass of a known transform calls the subclass", () => {
    class Twice extends RandomFlipHorizontal {
      override apply(image: NDArray): NDArray {
        return image.mul(2);
      }
    }
    const [image] = make(new Twice(1)).get(0);
    expect(image.toTypedArray()).toEqual(make().get(0)[0].mul(2).toTypedArray());
  });

  test("augments an example by seed and epoch, not by batch", () => {
    const dataset = make(new RandomCrop({ padding: 2 }), new RandomFlipHorizontal(0.5));
    const byLabel = (batchSize: number): string => {
      const loader = new data.DataLoader(dataset, { batchSize, seed: 3 });
      return Array.from(loader, ([x]) => x.toTypedArray().join()).join();
    };
    expect(byLabel(8)).toBe(byLabel(40));
  });

  test("augments in another way each epoch", () => {
    const loader = new data.DataLoader(make(new RandomCrop({ padding: 2 })), { batchSize: COUNT, seed: 3 });
    const [first, second] = [...loader, ...loader].map(([x]) => x.toTypedArray().join());
    expect(first).not.toBe(second!);
  });

  test("an empty batch is empty", () => {
    const [x, y] = make().batch(new Int32Array(0), new RandomSource(0), cpu());
    expect([x.shape, y.shape]).toEqual([[0, ...SHAPE], [0]]);
  });

  test("what does not fit is a typed error, and no index reaches native code unchecked", () => {
    const dataset = make();
    for (const i of [-1, COUNT, 0.5, NaN]) expect(thrown(() => dataset.get(i))).toBeInstanceOf(ArgumentError);
    for (const i of [-1, COUNT]) {
      expect(thrown(() => dataset.batch(Int32Array.of(0, i), new RandomSource(0), cpu()))).toBeInstanceOf(
        ArgumentError,
      );
    }
    expect(thrown(() => new ImageDataset({ name: "x", pixels, labels: labels.slice(1), shape: SHAPE }))).toBeInstanceOf(
      ShapeError,
    );
  });
});

test("what is no image data is refused, and memory that was given away too", () => {
  const wrong = (options: object) => () => new ImageDataset({ name: "n", pixels, labels, shape: SHAPE, ...options });
  expect(wrong({ pixels: new Float32Array(COUNT * SIZE) })).toThrow(/^n: pixels and labels must each be a Uint8Array/);
  expect(wrong({ labels: ["cat"] })).toThrow(ArgumentError);
  expect(wrong({ tranforms: [] })).toThrow(/^ImageDataset: there is no option 'tranforms'/);
  expect(wrong({ shape: [3, 20] })).toThrow(/^n: the shape must be \(channels, height, width\)/);
  const own = pixels.slice();
  const dataset = new ImageDataset({ name: "n", pixels: own, labels, shape: SHAPE });
  structuredClone(own, { transfer: [own.buffer] });
  expect(() => dataset.get(0)).toThrow(/^n: the memory of the pixels was transferred or resized/);
});
