/**
 * DataLoader: a dataset in batches, in an order that is a function of the seed and the epoch.
 *
 * Nothing is carried from batch to batch: a run that stopped in epoch 7 after 100 batches goes on with
 * `loader.pass(7, 100)` and sees what it would have seen.
 */
import { Tensor } from "../autograd/tensor.ts";
import { ArgumentError } from "../native/errors.ts";
import { cpu, Device } from "../ndarray/device.ts";
import { checkDType, type DType } from "../ndarray/dtype.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { describe } from "../ndarray/operands.ts";
import { manualSeeds, permutation } from "../ndarray/random.ts";
import { checkFlag, checkOptions } from "../ndarray/options.ts";
import { tidy } from "../ndarray/scope.ts";
import { readBatch } from "./collate.ts";
import { checkSeed, type Dataset, datasetLength, type Example, type Item, type Stacked } from "./dataset.ts";
import { RandomSource } from "./random.ts";

export interface DataLoaderOptions<E extends Example = readonly [Item, Item], Batch = Stacked<E, Tensor>> {
  /** Examples in a batch. */
  batchSize: number;
  /** Whether each epoch has another random order. Default false. */
  shuffle?: boolean | undefined;
  /** Whether a last batch that is smaller than the others is left out. Default false. */
  dropLast?: boolean | undefined;
  /** Where the batches are made. Default cpu(). */
  device?: Device | undefined;
  /** Taken as the homework's loader takes it, and not used: arrays keep the dtype that they have; for numbers see below. */
  dtype?: DType | undefined;
  /**
   * The dtype of items that are numbers, such as labels: "float32" for the targets of a regression. Default: in each
   * batch int32 if all are integers, else float32; so a batch of 0, 1, 2 between others of 0.5, 1.5 would be int32.
   */
  numbers?: DType | undefined;
  /** Determines orders and augmentation; a 32-bit integer. Default: drawn from the generator of `manualSeed`. */
  seed?: number | undefined;
  /**
   * Changes each batch when it was made: the arrays [x, y, …], stacked, for those to be yielded. They may be written
   * into. It runs in a {@link tidy}: what it makes and does not return is freed. `random` depends on the seed, the epoch
   * and the number of the batch alone. Random erasing (Zhong et al., 2020), a square of 8 × 8 pixels in each image:
   *
   *     transformBatch([x, y], random) {
   *       const [n, , height, width] = x.shape;
   *       for (let i = 0; i < n; i++) {
   *         const [top, left] = [random.integer(0, height - 8), random.integer(0, width - 8)];
   *         x.set([i, null, [top, top + 8], [left, left + 8]], 0);
   *       }
   *       return [x, y];
   *     }
   */
  transformBatch?: ((batch: Stacked<E, NDArray>, random: RandomSource) => Stacked<E, NDArray>) | undefined;
  /**
   * Makes each batch of its examples, in place of stacking them: what it returns is what the iteration yields. For
   * examples of several lengths, to be padded, or kept as lists.
   */
  collate?: ((examples: readonly E[], device: Device) => Batch) | undefined;
}

/** The options that are functions, as methods: so a loader of one kind of examples is one of a wider kind. */
interface Hooks<E extends Example, Batch> {
  transformBatch?(batch: Stacked<E, NDArray>, random: RandomSource): Stacked<E, NDArray>;
  collate?(examples: readonly E[], device: Device): Batch;
}

const OPTIONS = [
  "batchSize",
  "shuffle",
  "dropLast",
  "device",
  "dtype",
  "numbers",
  "seed",
  "transformBatch",
  "collate",
] as const;

/**
 * Batches of a dataset, `for (const [x, y] of loader)`: each item of the examples stacked along a new first axis,
 * or whatever the option `collate` makes of them. It can be iterated again and again; each time is the next epoch.
 */
export class DataLoader<
  E extends Example = readonly [Item, Item],
  Batch = Stacked<E, Tensor>,
> implements Iterable<Batch> {
  /** Whether every iteration makes its batches anew: a training loop frees them after their step. */
  readonly fresh: boolean;
  readonly dataset: Dataset<E>;
  readonly batchSize: number;
  readonly shuffle: boolean;
  readonly dropLast: boolean;
  readonly device: Device;
  private readonly numbers: DType | undefined;
  private readonly hooks: Hooks<E, Batch>;
  private nextEpoch = 0;
  private current: number;
  /** The number of `manualSeed` calls when the seed was drawn; null for a seed that was given. */
  private drawnAfter: number | null;

  /** @throws ArgumentError for anything that is not what it should be. */
  constructor(dataset: Dataset<E>, options: DataLoaderOptions<NoInfer<E>, Batch>) {
    checkOptions("DataLoader", options, OPTIONS);
    const { batchSize, shuffle = false, dropLast = false, device = cpu(), seed } = options;
    const { numbers, transformBatch, collate } = options;
    this.numbers = numbers;
    this.hooks = { ...(transformBatch && { transformBatch }), ...(collate && { collate }) };
    this.fresh = collate === undefined;
    this.dataset = dataset;
    this.batchSize = batchSize;
    this.shuffle = shuffle;
    this.dropLast = dropLast;
    this.device = device;
    this.current = seed ?? drawSeed();
    this.drawnAfter = seed === undefined ? manualSeeds() : null;
    datasetLength("DataLoader", dataset);
    if (typeof dataset.get !== "function")
      throw new ArgumentError("DataLoader", "the dataset must have a method get(i)");
    if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize >= 2 ** 31) {
      throw new ArgumentError("DataLoader", `batchSize must be a positive integer, not ${String(batchSize)}`);
    }
    checkFlag("DataLoader", "shuffle", shuffle);
    checkFlag("DataLoader", "dropLast", dropLast);
    if (!(device instanceof Device)) throw new ArgumentError("DataLoader", "device must be a Device, such as cpu()");
    checkSeed("DataLoader", seed);
    if (numbers !== undefined) checkDType("DataLoader", numbers);
    for (const [name, hook] of Object.entries({ transformBatch, collate })) {
      if (hook !== undefined && typeof hook !== "function")
        throw new ArgumentError("DataLoader", `${name} must be a function, not ${describe(hook)}`);
    }
    if (collate !== undefined && (transformBatch !== undefined || numbers !== undefined))
      throw new ArgumentError(
        "DataLoader",
        "collate makes the batch: transformBatch and numbers are for one without it",
      );
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
    const batches = datasetLength("DataLoader", this.dataset) / this.batchSize;
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

  [Symbol.iterator](): Generator<Batch, void, undefined> {
    this.followManualSeed();
    return this.pass(this.nextEpoch++);
  }

  /** The batches of one epoch from number `from` on; leaves the property `epoch` as it is. */
  pass(epoch: number, from = 0): Generator<Batch, void, undefined> {
    checkCount("epoch", epoch);
    checkCount("from", from);
    return this.batches(epoch, from);
  }

  private *batches(epoch: number, from: number): Generator<Batch, void, undefined> {
    const order = this.order(epoch);
    const random = new RandomSource(this.seed, epoch);
    const count = this.length;
    for (let i = from; i < count; i++) {
      const indices = order.subarray(i * this.batchSize, (i + 1) * this.batchSize);
      yield this.assemble(indices, random, i);
    }
  }

  /** Batch number `number` of an epoch. */
  private assemble(indices: Int32Array, random: RandomSource, number: number): Batch {
    const { dataset, device, hooks } = this;
    if (hooks.collate !== undefined) {
      const examples = Array.from(indices, (i) => dataset.get(i, random.at(i)));
      return hooks.collate(examples, device);
    }
    const read = () => readBatch(dataset, indices, random, device, this.numbers);
    // No example has a negative index: the numbers of the batch are none of theirs.
    const made = hooks.transformBatch === undefined ? read() : tidy(() => this.transform(read(), random.at(~number)));
    return made.map((array) => new Tensor(array)) as Batch;
  }

  private transform(batch: Stacked<E, NDArray>, random: RandomSource): Stacked<E, NDArray> {
    const { length } = batch;
    const made = this.hooks.transformBatch!(batch, random);
    if (Array.isArray(made) && made.length === length && made.every((array) => array instanceof NDArray)) return made;
    throw new ArgumentError("DataLoader", `transformBatch must return ${length} arrays, not ${describe(made)}`);
  }

  /** The indices of an epoch. */
  private order(epoch: number): Int32Array {
    const length = datasetLength("DataLoader", this.dataset);
    if (!this.shuffle) return Int32Array.from({ length }, (_, i) => i);
    return permutation(length, { seed: this.seed, stream: epoch });
  }
}

const drawSeed = (): number => RandomSource.fresh().integer(0, 2 ** 32 - 1);

function checkCount(name: string, count: number): void {
  if (!Number.isInteger(count) || count < 0) {
    throw new ArgumentError("DataLoader", `${name} must be a non-negative integer, not ${String(count)}`);
  }
}
