/** What a dataset is. */
import type { Tensor } from "../autograd/tensor.ts";
import { ArgumentError } from "../native/errors.ts";
import type { Device } from "../ndarray/device.ts";
import type { NDArray } from "../ndarray/ndarray.ts";
import type { Values } from "../ndarray/values.ts";
import type { RandomSource } from "./random.ts";

/** One part of an example: an array, a tensor, a typed array or nested lists of numbers, or an integer (a label). */
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
   */
  batch?(indices: Int32Array, random: RandomSource, device: Device): Stacked<E, NDArray>;
}

/** Throws ArgumentError unless `i` is an index of a dataset. */
export function checkIndex(operation: string, i: number, length: number): void {
  if (!Number.isInteger(i) || i < 0 || i >= length) {
    throw new ArgumentError(operation, `index ${String(i)} is not an integer in [0, ${length})`);
  }
}
