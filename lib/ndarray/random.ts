/**
 * Random numbers are a function of (seed, stream, index): Philox in native code, the same on every device. A generator
 * only hands out streams, so its whole state is two integers, and a checkpoint can hold it.
 */
import { ArgumentError, DTypeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { cpu } from "./device.ts";
import { isInt32 } from "./dtype.ts";
import { MAX_SIZE, type Shape } from "./layout.ts";
import type { ArrayOptions } from "./array-options.ts";
import { NDArray } from "./ndarray.ts";

export interface GeneratorState {
  seed: number;
  stream: number;
}

/** Hands out one stream of random numbers for each random operation, in order. */
export class Generator {
  private seed: number;
  private stream = 0;

  /** @param seed an integer; its low 32 bits are used. */
  constructor(seed: number) {
    this.seed = checkSeed("Generator", seed);
  }

  /** The seed and stream for one native call. */
  next(): GeneratorState {
    const { seed, stream } = this;
    this.stream = (this.stream + 1) | 0;
    return { seed, stream };
  }

  get state(): GeneratorState {
    return { seed: this.seed, stream: this.stream };
  }

  set state({ seed, stream }: GeneratorState) {
    const checked = checkSeed("state", seed);
    if (!Number.isSafeInteger(stream))
      throw new ArgumentError("state", `a stream is an integer, not ${String(stream)}`);
    this.seed = checked;
    this.stream = stream | 0;
  }

  /** 0 … n - 1 in random order. */
  permutation(n: number): Int32Array {
    return permutation(n, this.next());
  }
}

/** 0 … n - 1 in the random order that a seed and a stream determine. */
export function permutation(n: number, { seed, stream }: GeneratorState): Int32Array {
  if (!Number.isInteger(n) || n < 0 || n > MAX_SIZE)
    throw new ArgumentError("permutation", `takes how many there are, an integer of at least 0, not ${String(n)}`);
  const out = new Int32Array(n);
  const { backend } = cpu();
  if (n > 0) check(backend.th_permutation(out, n, seed | 0, stream | 0), backend, "permutation");
  return out;
}

function checkSeed(operation: string, seed: number): number {
  if (!Number.isSafeInteger(seed)) throw new ArgumentError(operation, `a seed is an integer, not ${String(seed)}`);
  return seed | 0;
}

/** The generator that initialisation, dropout and shuffling draw from. Its `state` is what a checkpoint saves of it. */
export const defaultGenerator = new Generator(0);

let calls = 0;

/** How often {@link manualSeed} was called: what drew its seed before draws another after it. */
export const manualSeeds = (): number => calls;

/**
 * Seeds every random operation: the same seed makes a run repeat bit for bit on the same machine and thread count. Of an
 * integer the lowest 32 bits count.
 */
export function manualSeed(seed: number): void {
  defaultGenerator.state = { seed: checkSeed("manualSeed", seed), stream: 0 };
  calls++;
}

/** Uniform in [low, high). */
export function uniform(
  shape: Shape,
  low: number,
  high: number,
  options: ArrayOptions = {},
  generator = defaultGenerator,
): NDArray {
  return random("uniform", shape, low, high, options, generator);
}

/** Normal with the given mean and standard deviation. */
export function normal(shape: Shape, mean: number, std: number, options: ArrayOptions = {}): NDArray {
  return random("normal", shape, mean, std, options, defaultGenerator);
}

/** Integers in [low, high), as int32. */
export function randint(low: number, high: number, shape: Shape, { device }: ArrayOptions = {}): NDArray {
  if (!isInt32(low) || !isInt32(high - 1) || high <= low)
    throw new ArgumentError("randint", `takes 32-bit integers low < high, not ${String(low)} and ${String(high)}`);
  const out = NDArray.allocate("randint", shape, { dtype: "int32", device });
  if (out.size === 0) return out;
  const { backend } = out.device;
  const { seed, stream } = defaultGenerator.next();
  check(backend.th_randint(out.pointer, out.size, low, high, seed, stream), backend, "randint");
  return out;
}

function random(
  kind: "uniform" | "normal",
  shape: Shape,
  a: number,
  b: number,
  { dtype, device }: ArrayOptions,
  generator: Generator,
): NDArray {
  if (!Number.isFinite(a) || !Number.isFinite(b))
    throw new ArgumentError(kind, `parameters must be finite, not ${a} and ${b}`);
  if (![a, b, kind === "uniform" ? b - a : 0].every((value) => Number.isFinite(Math.fround(value))))
    throw new ArgumentError(kind, `parameters and their range must fit float32, not ${a} and ${b}`);
  if (dtype !== undefined && dtype !== "float32")
    throw new DTypeError(kind, `random numbers are float32, not ${String(dtype)}`);
  const out = NDArray.empty(shape, { device });
  if (out.size === 0) return out;
  const backend = out.device.backend;
  const { seed, stream } = generator.next();
  const fill = kind === "uniform" ? backend.th_uniform : backend.th_normal;
  check(fill(out.pointer, out.size, a, b, seed, stream), backend, kind);
  return out;
}
