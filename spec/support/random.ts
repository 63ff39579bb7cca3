/** Repeatable numbers for specs, independent of the library's own generators. */
import { product } from "./oracle.ts";

/** A small generator (mulberry32) with the draws that random programs need. */
export class Random {
  private state: number;

  constructor(state: number) {
    this.state = state;
  }

  /** In [0, 1). */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** An integer in [low, high]. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  pick<T>(list: readonly T[]): T {
    if (list.length === 0) throw new Error("nothing to pick from");
    return list[this.integer(0, list.length - 1)]!;
  }

  shuffle<T>(list: readonly T[]): T[] {
    const out = [...list];
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.integer(0, i);
      [out[i], out[j]] = [out[j]!, out[i]!];
    }
    return out;
  }

  /** `count` multiples of 1/64 in [-2, 2]: float32 has them, their products and short sums exactly. */
  values(count: number): number[] {
    return Array.from({ length: count }, () => this.integer(-128, 128) / 64);
  }

  /** `count` float32 numbers in [low, high). */
  uniform(count: number, low = -1, high = 1): Float32Array {
    return Float32Array.from({ length: count }, () => low + (high - low) * this.next());
  }
}

/** Numbers in [-1, 1) from a hash of (index, seed): `uniform` of spec/fixtures/resnet9.py, bit for bit. */
export function hashed(shape: readonly number[], seed: number): Float64Array {
  return Float64Array.from({ length: product(shape) }, (_, i) => {
    let h = Math.imul(i, 2654435761) + Math.imul(seed, 40503);
    h = Math.imul(h ^ (h >>> 16), 0x45d9f3b);
    h = Math.imul(h ^ (h >>> 16), 0x45d9f3b);
    h ^= h >>> 16;
    return (h >>> 8) / 2 ** 23 - 1;
  });
}
