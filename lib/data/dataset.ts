/** What a dataset is. */
import type { Tensor } from "../autograd/tensor.ts";
import { ArgumentError } from "../native/errors.ts";
import type { Device } from "../ndarray/device.ts";
import type { DType } from "../ndarray/dtype.ts";
import type { NDArray } from "../ndarray/ndarray.ts";
import type { Values } from "../ndarray/values.ts";
import type { RandomSource } from "./random.ts";

/**
 * One part of an example: an array, a tensor, a typed array or nested lists of numbers, or a number (a label). Numbers
 * that are not all integers need DataLoader's option `numbers`: see there.
 */
export type Item = NDArray | Tensor | Values;

/** An example: most often `[image, label]`. */
export type Example = readonly Item[];

/** The parts of a batch: each item of the examples stacked along a new first axis. */
export type Stacked<E extends Example, Array> = { -readonly [K in keyof E]: Array };

/** Anything with a length and examples by index: `{ length: 10, get: (i) => [image(i), label(i)] }` is one. */
export interface Dataset<E extends Example = readonly [Item, Item]> {
  readonly length: number;
  /**
   * The example at `i`, an integer in [0, length).
   * @param random where augmentation takes its random numbers from. DataLoader gives one that depends on nothing but
   * its seed, the epoch, and `i`.
   */
  get(i: number, random?: RandomSource): E;
  /**
   * Optional fast path: what stacking `get(i, random.at(i))` over `indices` gives, made in one go on `device`.
   * The caller owns the arrays. A class that overrides `get` alone is asked for its examples one by one.
   * @param numbers DataLoader's option of this name, for items that `get` gives as numbers.
   */
  batch?(indices: Int32Array, random: RandomSource, device: Device, numbers?: DType): Stacked<E, NDArray>;
}

/** Throws ArgumentError unless `i` is an index of a dataset. */
export function checkIndex(operation: string, i: number, length: number): void {
  if (!Number.isInteger(i) || i < 0 || i >= length) {
    throw new ArgumentError(operation, `index ${String(i)} is not an integer in [0, ${length})`);
  }
}

/** The length of a dataset, which user code computes: so it is checked wherever it is used. */
export function datasetLength(operation: string, dataset: { readonly length: number }): number {
  const length: unknown = dataset?.length;
  if (typeof length !== "number" || !Number.isInteger(length) || length < 0 || length >= 2 ** 31) {
    throw new ArgumentError(operation, `the dataset's length must be a non-negative integer, not ${String(length)}`);
  }
  return length;
}

/** Throws ArgumentError unless `seed` is one, or left out. */
export function checkSeed(operation: string, seed: number | undefined): void {
  if (seed !== undefined && (!Number.isInteger(seed) || seed < -(2 ** 31) || seed >= 2 ** 32)) {
    throw new ArgumentError(operation, `seed must be a 32-bit integer, not ${String(seed)}`);
  }
}
