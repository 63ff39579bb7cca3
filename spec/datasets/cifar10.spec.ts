import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { ArgumentError, data, DatasetError, NDArray } from "thimble";
import { CIFAR10Dataset } from "thimble/datasets";

import { thrown } from "../support/thrown.ts";
import { binaryBatch, folder, images, pickleBatch, removeFoldersAfterwards, tarGz, wholeSet } from "./writers.ts";

removeFoldersAfterwards();
const PER_BATCH = 3;

const archive = (files: Record<string, Uint8Array>): Buffer =>
  tarGz(Object.entries(files).map(([name, content]) => ({ name, data: content })));

function failure(root: string, options?: { train?: boolean }): DatasetError {
  const error = thrown(() => new CIFAR10Dataset(root, options));
  expect(error).toBeInstanceOf(DatasetError);
  return error as DatasetError;
}

/** Pixels of an image as bytes, and its label. */
function example(dataset: CIFAR10Dataset, i: number): [Uint8Array, number] {
  const [image, label] = dataset.get(i);
  return [Uint8Array.from(image.toTypedArray(), (value) => Math.round(value * 255)), label];
}

describe("a set in every place it may be", () => {
  const roots: Record<string, string> = {};
  for (const format of ["py", "bin"] as const) {
    const files = wholeSet(format, PER_BATCH);
    const parent = folder(files);
    roots[`the folder that holds cifar-10-batches-${format}`] = parent;
    roots[`cifar-10-batches-${format} itself`] = join(parent, `cifar-10-batches-${format}`);
    roots[`the ${format} archive`] = join(folder({ "any-name.tar.gz": archive(files) }), "any-name.tar.gz");
    const official = format === "py" ? "cifar-10-python.tar.gz" : "cifar-10-binary.tar.gz";
    roots[`a folder with the ${format} archive`] = folder({ [official]: archive(files) });
  }

  for (const [name, root] of Object.entries(roots)) {
    test(`is read from ${name}`, () => {
      const train = new CIFAR10Dataset(root);
      const held = new CIFAR10Dataset(root, { train: false });
      expect([train.length, held.length]).toEqual([5 * PER_BATCH, PER_BATCH]);
      for (let i = 0; i < train.length; i++) {
        const batch = images(PER_BATCH, 1 + Math.floor(i / PER_BATCH));
        const k = i % PER_BATCH;
        expect(example(train, i)).toEqual([batch.pixels.slice(k * 3072, (k + 1) * 3072), batch.labels[k]!]);
      }
      expect(example(held, 2)).toEqual([images(PER_BATCH, 6).pixels.slice(2 * 3072), images(PER_BATCH, 6).labels[2]!]);
    });
  }

  test("an example is an NDArray (3, 32, 32) float32 in [0, 1], each byte divided by 255, and a number", () => {
    const [image, label] = new CIFAR10Dataset(Object.values(roots)[0]!).get(0);
    expect(image).toBeInstanceOf(NDArray);
    expect(image.shape).toEqual([3, 32, 32]);
    expect(image.dtype).toBe("float32");
    expect(image.toTypedArray()).toEqual(Float32Array.from(images(1, 1).pixels, (byte) => byte / 255));
    expect(label).toBe(1);
  });
});

describe("what is missing or wrong is a DatasetError that names file, byte, and what was expected", () => {
  const set = wholeSet("py", 1);

  test("no such folder, an empty folder, a folder of something else", () => {
    expect(failure("/nowhere").message).toContain("/nowhere: holds none of cifar-10-batches-py");
    expect(failure(folder()).message).toContain("official archive");
    expect(failure(folder({ "cifar-100-python/train": "x" }))).toBeInstanceOf(DatasetError);
  });

  test("a missing file", () => {
    const { "cifar-10-batches-py/data_batch_3": _, ...rest } = set;
    const root = folder(rest);
    expect(failure(root).file).toBe(join(root, "cifar-10-batches-py/data_batch_3"));
    expect(new CIFAR10Dataset(root, { train: false }).length).toBe(1);
    const packed = join(folder({ "a.tar.gz": archive(rest) }), "a.tar.gz");
    expect(failure(packed).file).toBe(join(packed, "data_batch_3"));
  });

  test("a file cut short, in the folder and in the archive", () => {
    const name = "cifar-10-batches-py/data_batch_2";
    const cut = { ...set, [name]: set[name]!.subarray(0, 1000) };
    const root = folder(cut);
    expect(failure(root).file).toBe(join(root, name));
    expect(failure(root).message).toContain("truncated: expected 3072 more bytes");
    const packed = join(folder({ "a.tar.gz": archive(cut) }), "a.tar.gz");
    expect(failure(packed).file).toBe(join(packed, "data_batch_2"));
  });

  test("another archive", () => {
    const packed = join(folder({ "cifar-100-python.tar.gz": archive({ "cifar-100-python/train": Buffer.of(1) }) }));
    expect(failure(join(packed, "cifar-100-python.tar.gz")).message).toContain("expected data_batch_1");
  });

  test("binary files of a wrong size or with a wrong label", () => {
    const bin = wholeSet("bin", 2);
    const name = "cifar-10-batches-bin/data_batch_4.bin";
    for (const [size, offset] of [
      [0, 0],
      [1, 0],
      [3072, 0],
      [3074, 3073],
      [2 * 3073 - 1, 3073],
    ] as const) {
      const error = failure(folder({ ...bin, [name]: bin[name]!.subarray(0, size) }));
      expect(error.offset).toBe(offset);
      expect(error.message).toContain("expected rows of 3073 bytes");
    }
    const wrong = Buffer.from(bin[name]!);
    wrong[3073] = 10;
    const error = failure(folder({ ...bin, [name]: wrong }));
    expect(error.message).toContain("data_batch_4.bin, byte 3073: expected a label in [0, 10), found 10");
  });

  test("a python file in place of a binary one, and the other way round", () => {
    const python = { ...set, "cifar-10-batches-py/data_batch_1": binaryBatch(images(1)) };
    expect(failure(folder(python)).offset).toBe(0);
    const binary = { ...wholeSet("bin", 1), "cifar-10-batches-bin/test_batch.bin": pickleBatch(images(1)) };
    expect(failure(folder(binary), { train: false }).message).toContain("expected rows of 3073 bytes");
  });
});

describe("options", () => {
  const root = folder(wholeSet("bin", PER_BATCH));

  test("images are as in the file, whatever p, unless transforms are given", () => {
    const dataset = new CIFAR10Dataset(root, { p: 1 });
    expect(example(dataset, 0)[0]).toEqual(images(1, 1).pixels);
  });

  test("p is the probability of mirroring in the standard augmentation", () => {
    const never = new CIFAR10Dataset(root, { transforms: "standard", p: 0 });
    const always = new CIFAR10Dataset(root, { transforms: "standard", p: 1 });
    const a = never.get(0, new data.RandomSource(5).at(0))[0];
    const b = always.get(0, new data.RandomSource(5).at(0))[0];
    expect(a.toTypedArray()).not.toEqual(b.toTypedArray());
    expect(never.transforms).toHaveLength(2);
  });

  test("there are ten class names", () => expect(CIFAR10Dataset.classes).toHaveLength(10));

  test("arguments that make no sense are ArgumentErrors", () => {
    const wrong: (() => unknown)[] = [
      () => new CIFAR10Dataset(""),
      () => new CIFAR10Dataset(root, { p: 1.5 }),
      () => new CIFAR10Dataset(root, { p: NaN }),
      // @ts-expect-error: not a path
      () => new CIFAR10Dataset(undefined),
      // @ts-expect-error: not a boolean
      () => new CIFAR10Dataset(root, { train: "yes" }),
      // @ts-expect-error: not transforms
      () => new CIFAR10Dataset(root, { transforms: ["flip"] }),
      () => new CIFAR10Dataset(root).get(-1),
      () => new CIFAR10Dataset(root).get(5 * PER_BATCH),
      () => new CIFAR10Dataset(root).get(0.5),
      () => new CIFAR10Dataset(root).get(NaN),
    ];
    for (const run of wrong) expect(thrown(run)).toBeInstanceOf(ArgumentError);
  });
});
