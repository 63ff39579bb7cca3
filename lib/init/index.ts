/**
 * Tensors to start from: constants, random numbers, and the initialisations of Glorot and Bengio (2010, "xavier") and
 * He et al. (2015, "kaiming"). Random numbers come from the generator that `manualSeed` seeds.
 */
import { Tensor, tensor } from "../autograd/tensor.ts";
import { ArgumentError, ShapeError } from "../native/errors.ts";
import { checkShape, type Shape, sizeOf } from "../ndarray/layout.ts";
import { type ArrayOptions, NDArray } from "../ndarray/ndarray.ts";
import * as random from "../ndarray/random.ts";

export interface InitOptions extends ArrayOptions {
  requiresGrad?: boolean | undefined;
}

const wrap = (data: NDArray, { requiresGrad = false }: InitOptions): Tensor => new Tensor(data, { requiresGrad });

/** Uniform in [low, high), by default [0, 1). */
export function uniform(
  shape: Shape,
  { low = 0, high = 1, ...options }: InitOptions & { low?: number; high?: number } = {},
): Tensor {
  return wrap(random.uniform(shape, low, high, options), options);
}

/** Normal, by default with mean 0 and standard deviation 1. */
export function normal(
  shape: Shape,
  { mean = 0, std = 1, ...options }: InitOptions & { mean?: number; std?: number } = {},
): Tensor {
  if (!(std >= 0)) throw new ArgumentError("normal", `the standard deviation must not be negative, and is ${std}`);
  return wrap(random.normal(shape, mean, std, options), options);
}

export function constant(shape: Shape, value: number, options: InitOptions = {}): Tensor {
  return wrap(NDArray.full(shape, value, options), options);
}

export function ones(shape: Shape, options: InitOptions = {}): Tensor {
  return constant(shape, 1, options);
}

export function zeros(shape: Shape, options: InitOptions = {}): Tensor {
  return constant(shape, 0, options);
}

/** Rows of the identity: ids (…) in [0, count) give (…, count), 1 at the id and 0 elsewhere. */
export function oneHot(
  count: number,
  ids: Tensor | NDArray | Int32Array | readonly number[],
  options: InitOptions = {},
): Tensor {
  const given = ids instanceof Tensor ? ids.data : ids instanceof NDArray ? ids : tensor(ids, { dtype: "int32" }).data;
  const shape = checkShape("oneHot", [...given.shape, count]);
  const out = new Float32Array(sizeOf(shape));
  given.toTypedArray().forEach((id, row) => {
    if (!Number.isInteger(id) || id < 0 || id >= count) {
      throw new ArgumentError("oneHot", `id ${id} is outside [0, ${count})`);
    }
    out[row * count + id] = 1;
  });
  return tensor(out, { ...options, shape });
}

export interface FanOptions extends InitOptions {
  /** The tensor's shape, by default (fanIn, fanOut). A (k, k, in, out) shape sets the fans itself: k² · in and k² · out. */
  shape?: Shape | undefined;
  /** Scale; by default 1 for xavier and √2, ReLU's, for kaiming. */
  gain?: number | undefined;
}

export interface KaimingOptions extends FanOptions {
  /** Chooses the gain. Only "relu" (the default) is given by the homework; "linear" is 1, "tanh" 5/3. */
  nonlinearity?: "relu" | "linear" | "tanh" | undefined;
}

const GAINS = { relu: Math.SQRT2, linear: 1, tanh: 5 / 3 };

/** Fans of a tensor: those given, or the shape's, whose leading axes are the receptive field. */
function fans(
  operation: string,
  fanIn: number,
  fanOut: number,
  shape: Shape | undefined,
): { shape: Shape; fanIn: number; fanOut: number } {
  for (const [name, value] of Object.entries({ fanIn, fanOut })) {
    if (!Number.isInteger(value) || value < 1)
      throw new ArgumentError(operation, `${name} must be a positive integer, not ${String(value)}`);
  }
  if (shape === undefined) return { shape: [fanIn, fanOut], fanIn, fanOut };
  const checked = checkShape(operation, shape);
  if (checked.length < 2 || sizeOf(checked) === 0) {
    throw new ShapeError(operation, "a shape with fans has at least two axes, none empty", { shapes: [shape] });
  }
  const field = sizeOf(checked.slice(0, -2));
  return { shape: checked, fanIn: field * checked.at(-2)!, fanOut: field * checked.at(-1)! };
}

function gainOf(operation: string, { gain, nonlinearity = "relu" }: KaimingOptions): number {
  const value = gain ?? GAINS[nonlinearity];
  if (!Number.isFinite(value))
    throw new ArgumentError(operation, `there is no gain for the nonlinearity '${nonlinearity}'`);
  return value;
}

/** U(-a, a) with a = gain · √(6 / (fanIn + fanOut)). */
export function xavierUniform(fanIn: number, fanOut: number, options: FanOptions = {}): Tensor {
  const f = fans("xavierUniform", fanIn, fanOut, options.shape);
  const high = gainOf("xavierUniform", { gain: options.gain ?? 1 }) * Math.sqrt(6 / (f.fanIn + f.fanOut));
  return uniform(f.shape, { ...options, low: -high, high });
}

/** N(0, σ²) with σ = gain · √(2 / (fanIn + fanOut)). */
export function xavierNormal(fanIn: number, fanOut: number, options: FanOptions = {}): Tensor {
  const f = fans("xavierNormal", fanIn, fanOut, options.shape);
  const std = gainOf("xavierNormal", { gain: options.gain ?? 1 }) * Math.sqrt(2 / (f.fanIn + f.fanOut));
  return normal(f.shape, { ...options, mean: 0, std });
}

/** U(-a, a) with a = gain · √(3 / fanIn). */
export function kaimingUniform(fanIn: number, fanOut: number, options: KaimingOptions = {}): Tensor {
  const f = fans("kaimingUniform", fanIn, fanOut, options.shape);
  const high = gainOf("kaimingUniform", options) * Math.sqrt(3 / f.fanIn);
  return uniform(f.shape, { ...options, low: -high, high });
}

/** N(0, σ²) with σ = gain / √fanIn. */
export function kaimingNormal(fanIn: number, fanOut: number, options: KaimingOptions = {}): Tensor {
  const f = fans("kaimingNormal", fanIn, fanOut, options.shape);
  const std = gainOf("kaimingNormal", options) / Math.sqrt(f.fanIn);
  return normal(f.shape, { ...options, mean: 0, std });
}
