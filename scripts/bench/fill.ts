/**
 * The numbers that all contestants compute with, and the checksums of what they computed: the ratio of two times means
 * something only if both did the same work. torch_common.py and peer.h have the same in their languages.
 */

/** Element i of the filling `seed`: in [-0.5, 0.5), by a hash of both. */
export function number(i: number, seed: number): number {
  let x = (Math.imul(i, 2654435761) + Math.imul(seed, 374761393)) | 0;
  x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d);
  x ^= x >>> 12;
  return Math.fround((x >>> 0) / 2 ** 32 - 0.5);
}

export interface Scaling {
  /** Added after scaling. Default 0. */
  offset?: number;
  /** Default 1. */
  scale?: number;
}

/** `count` numbers in the range of `number`, scaled. */
export function fill(count: number, seed: number, { offset = 0, scale = 1 }: Scaling = {}): Float32Array {
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) out[i] = Math.fround(number(i, seed) * Math.fround(scale)) + Math.fround(offset);
  return out;
}

/** The mean magnitude, and the mean of the values mixed with other numbers, which knows their order. */
export function checksum(values: ArrayLike<number>): number[] {
  let size = 0;
  let mixed = 0;
  for (let i = 0; i < values.length; i++) {
    size += Math.abs(values[i]!);
    mixed += values[i]! * number(i, 99);
  }
  return [size / values.length, mixed / values.length];
}

/** Whether two contestants' values are those of the same work, up to the rounding of float32. */
export function agree(a: readonly number[], b: readonly number[]): boolean {
  const size = Math.max(...a.map(Math.abs), Number.MIN_VALUE);
  return a.length === b.length && a.every((value, i) => Math.abs(value - b[i]!) <= 2e-3 * size);
}
