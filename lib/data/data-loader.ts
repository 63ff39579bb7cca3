/**
 * DataLoader: a dataset in batches, in an order that is a function of the seed and the epoch.
 *
 * Nothing is carried from batch to batch: a run that stopped in epoch 7 after 100 batches goes on with
 * `loader.pass(7, 100)` and sees what it would have seen.
 */
import { Tensor } from "../autograd/tensor.ts";
import { ArgumentError } from "../native/errors.ts";
import { standsFor } from "../native/prototype.ts";
import { cpu, Device } from "../ndarray/device.ts";
import type { DType } from "../ndarray/dtype.ts";
import { manualSeeds, permutation } from "../ndarray/random.ts";
import { checkOptions } from "../ndarray/options.ts";
import { collate } from "./collate.ts";
import type { Dataset, Example, Item, Stacked } from "./dataset.ts";
import { RandomSource } from "./random.ts";

export interface DataLoaderOptions {
  /** Examples in a batch. */
  batchSize: number;
  /** Whether each epoch has another random order. Default false. */
  shuffle?: boolean | undefined;
  /** Whether a last batch that is smaller than the others is left out. Default false. */
  dropLast?: boolean | undefined;
  /** Where the batches are made. Default cpu(). */
  device?: Device | undefined;
  /** Taken as the homework's loader takes it, and not used: items keep the dtype that they have. */
  dtype?: DType | undefined;
  /** Determines orders and augmentation; a 32-bit integer. Default: drawn from the generator of `manualSeed`. */
  seed?: number | undefined;
}

/**
 * Batches of a dataset, `for (const [x, y] of loader)`: each item of the examples stacked along a new first axis.
 * It can be iterated again and again; each time is the next epoch.
 */
export class DataLoader<E extends Example = readonly [Item, Item]> implements Iterable<Stacked<E, Tensor>> {
  /** Every iteration makes its batches anew: a training loop frees them after their step. */
  readonly fresh = true;
  readonly dataset: Dataset<E>;
  readonly batchSize: number;
  readonly shuffle: boolean;
  readonly dropLast: boolean;
  readonly device: Device;
  private nextEpoch = 0;
  private current: number;
  /** The number of `manualSeed` calls when the seed was drawn; null for a seed that was given. */
  private drawnAfter: number | null;

  /** @throws ArgumentError for anything that is not what it should be. */
  constructor(dataset: Dataset<E>, options: DataLoaderOptions) {
    checkOptions("DataLoader", options, ["batchSize", "shuffle", "dropLast", "device", "dtype", "seed"]);
    const { batchSize, shuffle = false, dropLast = false, device = cpu(), seed } = options;
    this.dataset = dataset;
    this.batchSize = batchSize;
    this.shuffle = shuffle;
    this.dropLast = dropLast;
    this.device = device;
    this.current = seed ?? drawSeed();
    this.drawnAfter = seed === undefined ? manualSeeds() : null;
    datasetLength(dataset);
    if (typeof dataset.get !== "function")
      throw new ArgumentError("DataLoader", "the dataset must have a method get(i)");
    if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize >= 2 ** 31) {
      throw new ArgumentError("DataLoader", `batchSize must be a positive integer, not ${String(batchSize)}`);
    }
    if (typeof shuffle !== "boolean" || typeof dropLast !== "boolean") {
      throw new ArgumentError("DataLoader", "shuffle and dropLast must be true or false");
    }
    if (!(device instanceof Device)) throw new ArgumentError("DataLoader", "device must be a Device, such as cpu()");
    if (seed !== undefined && (!Number.isInteger(seed) || seed < -(2 ** 31) || seed >= 2 ** 32)) {
      throw new ArgumentError("DataLoader", `seed must be a 32-bit integer, not ${String(seed)}`);
    }
  }

  /** Determines orders and augmentation: as given, or drawn from the generator of `manualSeed`. */
  get seed(): number {
    this.followManualSeed();
    return this.current;
  }

  /** After a `manualSeed`, a loader without a seed of its own draws another, and begins with epoch 0. */
  private followManualSeed(): void {
    if (this.drawnAfter === null || this.drawnAfter === manualSeeds()) return;
    this.drawnAfter = manualSeeds();
    this.current = drawSeed();
    this.nextEpoch = 0;
  }

  /** The number of batches in an epoch. */
  get length(): number {
    const batches = datasetLength(this.dataset) / this.batchSize;
    return this.dropLast ? Math.floor(batches) : Math.ceil(batches);
  }

  /** The epoch of the next iteration, from 0 on. Set it to resume a run. */
  get epoch(): number {
    this.followManualSeed();
    return this.nextEpoch;
  }

  set epoch(epoch: number) {
    checkCount("epoch", epoch);
    this.followManualSeed();
    this.nextEpoch = epoch;
  }

  [Symbol.iterator](): Generator<Stacked<E, Tensor>, void, undefined> {
    this.followManualSeed();
    return this.pass(this.nextEpoch++);
  }

  /** The batches of one epoch from number `from` on; leaves the property `epoch` as it is. */
  pass(epoch: number, from = 0): Generator<Stacked<E, Tensor>, void, undefined> {
    checkCount("epoch", epoch);
    checkCount("from", from);
    return this.batches(epoch, from);
  }

  private *batches(epoch: number, from: number): Generator<Stacked<E, Tensor>, void, undefined> {
    const order = this.order(epoch);
    const random = new RandomSource(this.seed, epoch);
    const count = this.length;
    for (let i = from; i < count; i++) {
      const indices = order.subarray(i * this.batchSize, (i + 1) * this.batchSize);
      yield this.assemble(indices, random).map((array) => new Tensor(array)) as Stacked<E, Tensor>;
    }
  }

  private assemble(indices: Int32Array, random: RandomSource) {
    const { dataset, device } = this;
    if (dataset.batch !== undefined && standsFor(dataset, "batch", "get"))
      return dataset.batch(indices, random, device);
    const examples = Array.from(indices, (i) => dataset.get(i, random.at(i)));
    return collate(examples, device);
  }

  /** The indices of an epoch. */
  private order(epoch: number): Int32Array {
    const length = datasetLength(this.dataset);
    if (!this.shuffle) return Int32Array.from({ length }, (_, i) => i);
    return permutation(length, { seed: this.seed, stream: epoch });
  }
}

const drawSeed = (): number => RandomSource.fresh().integer(0, 2 ** 32 - 1);

/** The length of a dataset, which user code computes: so it is checked wherever it is used. */
function datasetLength(dataset: { readonly length: number }): number {
  const length: unknown = dataset?.length;
  if (typeof length !== "number" || !Number.isInteger(length) || length < 0 || length >= 2 ** 31) {
    throw new ArgumentError("DataLoader", `the dataset's length must be a non-negative integer, not ${String(length)}`);
  }
  return length;
}

function checkCount(name: string, count: number): void {
  if (!Number.isInteger(count) || count < 0) {
    throw new ArgumentError("DataLoader", `${name} must be a non-negative integer, not ${String(count)}`);
  }
}
