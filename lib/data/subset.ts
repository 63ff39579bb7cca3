/** Parts of a dataset. */
import { ArgumentError } from "../native/errors.ts";
import type { Device } from "../ndarray/device.ts";
import type { DType } from "../ndarray/dtype.ts";
import type { NDArray } from "../ndarray/ndarray.ts";
import { describe } from "../ndarray/operands.ts";
import { checkOptions } from "../ndarray/options.ts";
import { defaultGenerator, permutation } from "../ndarray/random.ts";
import { readBatch } from "./collate.ts";
import { checkIndex, checkSeed, type Dataset, datasetLength, type Example, type Stacked } from "./dataset.ts";
import type { RandomSource } from "./random.ts";

/**
 * The examples of a dataset at `indices`, in their order; one may be there more than once. A batch is made as the
 * dataset makes its own, and an example is augmented as in the whole dataset: by its index there.
 */
export class Subset<E extends Example> implements Dataset<E> {
  readonly length: number;
  readonly dataset: Dataset<E>;
  /** In the dataset. */
  readonly indices: Int32Array;

  /** @throws ArgumentError for indices outside the dataset. */
  constructor(dataset: Dataset<E>, indices: Iterable<number>) {
    const length = datasetLength("Subset", dataset);
    if (typeof indices !== "object" || indices === null || !(Symbol.iterator in indices))
      throw new ArgumentError("Subset", `takes a list of indices, not ${describe(indices)}`);
    const list = [...indices];
    for (const i of list) checkIndex("Subset", i, length);
    this.dataset = dataset;
    this.indices = Int32Array.from(list);
    this.length = list.length;
  }

  get(i: number, random?: RandomSource): E {
    checkIndex("Subset", i, this.length);
    const index = this.indices[i]!;
    return this.dataset.get(index, random?.at(index));
  }

  batch(indices: Int32Array, random: RandomSource, device: Device, numbers?: DType): Stacked<E, NDArray> {
    for (const i of indices) checkIndex("Subset", i, this.length);
    const own = indices.map((i) => this.indices[i]!);
    return readBatch(this.dataset, own, random, device, numbers);
  }
}

/**
 * Splits a dataset at random: each example is in exactly one part.
 * @param lengths of the parts, which add up to the dataset's; or fractions, which add up to 1: each part has that share
 * rounded down, and what is left over goes to the parts one by one, from the first on.
 * @param options `seed`: a 32-bit integer that determines the split. Default: the generator of `manualSeed` does.
 * @throws ArgumentError for lengths that are neither.
 */
export function randomSplit<E extends Example, const L extends readonly number[]>(
  dataset: Dataset<E>,
  lengths: L,
  options: { seed?: number | undefined } = {},
): { -readonly [K in keyof L]: Subset<E> } {
  const length = datasetLength("randomSplit", dataset);
  const { seed } = checkOptions("randomSplit", options, ["seed"]);
  checkSeed("randomSplit", seed);
  const counts = readLengths(lengths, length);
  const order = seed === undefined ? defaultGenerator.permutation(length) : permutation(length, { seed, stream: 0 });
  let end = 0;
  const parts = counts.map((count) => new Subset(dataset, order.subarray(end, (end += count))));
  return parts as { -readonly [K in keyof L]: Subset<E> }; // one for each length
}

function readLengths(lengths: readonly number[], length: number): readonly number[] {
  if (!Array.isArray(lengths) || !lengths.every((part) => typeof part === "number" && part >= 0))
    throw new ArgumentError("randomSplit", `takes a list of lengths or of fractions, not ${describe(lengths)}`);
  const sum = lengths.reduce((a, b) => a + b, 0);
  if (sum === length && lengths.every(Number.isInteger)) return lengths;
  if (Math.abs(sum - 1) > 1e-9) {
    const problem = `the lengths must add up to the dataset's ${length}, or fractions to 1; they add up to ${sum}`;
    throw new ArgumentError("randomSplit", problem);
  }
  const counts = lengths.map((fraction) => Math.floor(length * fraction));
  const left = length - counts.reduce((a, b) => a + b, 0);
  return counts.map((count, i) => count + Math.floor(left / counts.length) + (i < left % counts.length ? 1 : 0));
}
