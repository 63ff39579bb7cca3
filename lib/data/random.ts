/** Random numbers for shuffling and data augmentation. */
import { defaultGenerator } from "../ndarray/random.ts";

/**
 * A generator that can be set to any example: what follows `at(i)` is a function of the seed, the stream (the epoch)
 * and i alone. So an example is augmented in the same way whichever batch it is in, whoever reads it, and wherever a
 * run was resumed. SplitMix (Steele, Lea and Flood, 2014) on 32 bits.
 */
export class RandomSource {
  private readonly key: number;
  private state: number;

  /** @param seed and @param stream integers; their lower 32 bits count. */
  constructor(seed: number, stream = 0) {
    this.key = mix(mix(seed) + stream);
    this.state = this.key;
  }

  /** A source that only `manualSeed`, and how much was drawn since, determine. */
  static fresh(): RandomSource {
    const { seed, stream } = defaultGenerator.next();
    return new RandomSource(seed, stream);
  }

  /** Goes to the numbers of example `index`. */
  at(index: number): this {
    this.state = mix(this.key + index);
    return this;
  }

  /** Uniform in [0, 1). */
  uniform(): number {
    this.state = (this.state + 0x9e3779b9) | 0;
    return mix(this.state) / 2 ** 32;
  }

  /** A uniform integer in [low, high], both ends included. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.uniform() * (high - low + 1));
  }
}

/** A permutation of the 32-bit integers in which every input bit changes every output bit about half of the time. */
function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}
