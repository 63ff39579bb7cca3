/**
 * Tensors to start from: constants, rows of numbers, random numbers, and the initialisations of Glorot and Bengio (2010, "xavier") and
 * He et al. (2015, "kaiming"). Random numbers come from the generator that `manualSeed` seeds.
 */
import { Tensor, tensor } from "../autograd/tensor.ts";
import { ArgumentError, ShapeError } from "../native/errors.ts";
import type { Device } from "../ndarray/device.ts";
import { checkShape, type Shape, sizeOf } from "../ndarray/layout.ts";
import type { ArrayOptions } from "../ndarray/array-options.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { describe } from "../ndarray/operands.ts";
import { checkOptions } from "../ndarray/options.ts";
import * as random from "../ndarray/random.ts";

/** What every initialisation takes: dtype (default float32), device (default cpu()), and whether it has a gradient. */
export interface InitOptions extends ArrayOptions {
  /** Default false. */
  requiresGrad?: boolean | undefined;
}

export interface UniformOptions extends InitOptions {
  /** Default 0. */
  low?: number | undefined;
  /** Default 1. */
  high?: number | undefined;
}

export interface NormalOptions extends InitOptions {
  /** Default 0. */
  mean?: number | undefined;
  /** Standard deviation. Default 1. */
  std?: number | undefined;
}

const INIT_OPTIONS = ["dtype", "device", "requiresGrad"] as const;

/** Uniform in [low, high), by default [0, 1). */
export function uniform(shape: Shape, options: UniformOptions = {}): Tensor {
  checkOptions("uniform", options, ["low", "high", ...INIT_OPTIONS]);
  const { low = 0, high = 1, requiresGrad, ...rest } = options;
  if (low > high) throw new ArgumentError("uniform", `low ${low} is above high ${high}`);
  return new Tensor(random.uniform(shape, low, high, rest), { requiresGrad });
}

/** Normal, by default with mean 0 and standard deviation 1. */
export function normal(shape: Shape, options: NormalOptions = {}): Tensor {
  checkOptions("normal", options, ["mean", "std", ...INIT_OPTIONS]);
  const { mean = 0, std = 1, requiresGrad, ...rest } = options;
  if (!(std >= 0)) throw new ArgumentError("normal", `the standard deviation must not be negative, and is ${std}`);
  return new Tensor(random.normal(shape, mean, std, rest), { requiresGrad });
}

/** Whole numbers from `low` to below `high`, each as likely, as int32. */
export function randint(
  low: number,
  high: number,
  shape: Shape,
  options: { device?: Device | undefined } = {},
): Tensor {
  return new Tensor(random.randint(low, high, shape, checkOptions("randint", options, ["device"])));
}

/** `value` everywhere. */
export function constant(shape: Shape, value: number, options: InitOptions = {}): Tensor {
  const { requiresGrad, ...rest } = checkOptions("constant", options, INIT_OPTIONS);
  return new Tensor(NDArray.full(shape, value, rest), { requiresGrad });
}

/** 1 everywhere. */
export function ones(shape: Shape, options: InitOptions = {}): Tensor {
  const { requiresGrad, ...rest } = checkOptions("ones", options, INIT_OPTIONS);
  return new Tensor(NDArray.ones(shape, rest), { requiresGrad });
}

/** 0 everywhere. */
export function zeros(shape: Shape, options: InitOptions = {}): Tensor {
  const { requiresGrad, ...rest } = checkOptions("zeros", options, INIT_OPTIONS);
  return new Tensor(NDArray.zeros(shape, rest), { requiresGrad });
}

/** Zeros of the shape, dtype and device of `like`, unless the options say otherwise. */
export function zerosLike(like: Tensor | NDArray, options: InitOptions = {}): Tensor {
  return zeros(like.shape, alike("zerosLike", like, options));
}

/** Ones of the shape, dtype and device of `like`, unless the options say otherwise. */
export function onesLike(like: Tensor | NDArray, options: InitOptions = {}): Tensor {
  return ones(like.shape, alike("onesLike", like, options));
}

function alike(operation: string, like: Tensor | NDArray, options: InitOptions): InitOptions {
  if (!(like instanceof Tensor || like instanceof NDArray))
    throw new ArgumentError(operation, `takes a tensor or an array, not ${describe(like)}`);
  const { dtype = like.dtype, device = like.device, requiresGrad } = checkOptions(operation, options, INIT_OPTIONS);
  return { dtype, device, requiresGrad };
}

/**
 * start, start + step, start + 2 · step, … before `end`: ⌈(end - start) / step⌉ numbers. By default from 0 and in steps of
 * 1. They are float32 unless `dtype` is "int32", as ids must be.
 * @throws ArgumentError for a step of 0, or one that leads away from `end`; DTypeError for fractions as int32.
 */
export function arange(end: number, options?: InitOptions): Tensor;
export function arange(start: number, end: number, options?: InitOptions): Tensor;
export function arange(start: number, end: number, step: number, options?: InitOptions): Tensor;
export function arange(...args: readonly (number | InitOptions | undefined)[]): Tensor {
  const [given, options] = readNumbers("arange", args, ["start", "end", "step"]);
  const [start, end, step = 1] = given.length === 1 ? [0, given[0]!] : (given as [number, number, number?]);
  if (step === 0) throw new ArgumentError("arange", "the step must not be 0");
  if (start !== end && start < end !== step > 0)
    throw new ArgumentError("arange", `steps of ${step} do not lead from ${start} to ${end}`);
  return sequence("arange", Math.ceil((end - start) / step), (i) => start + i * step, options);
}

/** `steps` numbers at equal distances from `start` to `end`, both of them included; of one step, `start` alone. */
export function linspace(start: number, end: number, steps: number, options: InitOptions = {}): Tensor {
  checkFinite("linspace", "start", start);
  checkFinite("linspace", "end", end);
  const step = steps > 1 ? (end - start) / (steps - 1) : 0;
  // From the nearer end, as PyTorch: the last one is `end` itself.
  const value = (i: number): number => (i < steps / 2 ? start + i * step : end - (steps - 1 - i) * step);
  return sequence("linspace", steps, value, options);
}

/** (count) numbers by their index. */
function sequence(operation: string, count: number, value: (i: number) => number, options: InitOptions): Tensor {
  const { requiresGrad, dtype = "float32", device } = checkOptions(operation, options, INIT_OPTIONS);
  const values = new Float64Array(checkShape(operation, [count])[0]!).map((_, i) => value(i));
  return new Tensor(NDArray.make(operation, values, { dtype, device }), { requiresGrad });
}

/** The identity (n, n), or (n, m): 1 where row and column have the same number, 0 elsewhere. */
export function eye(n: number, options?: InitOptions): Tensor;
export function eye(n: number, m: number, options?: InitOptions): Tensor;
export function eye(...args: readonly (number | InitOptions | undefined)[]): Tensor {
  const [[n, m = n], given] = readNumbers("eye", args, ["n", "m"]);
  const { requiresGrad, ...options } = checkOptions("eye", given, INIT_OPTIONS);
  const array = NDArray.allocate("eye", [n, m], options).fill("eye", 0);
  using flat = array.reshape([n * m]);
  flat.set([[0, Math.min(n, m) * (m + 1), m + 1]], 1);
  return new Tensor(array, { requiresGrad });
}

/** One to `names.length` finite numbers in front, and the options behind them. */
function readNumbers(
  operation: string,
  args: readonly (number | InitOptions | undefined)[],
  names: readonly string[],
): [given: [number, ...number[]], options: InitOptions] {
  const given = args.slice(0, names.length).filter((value) => typeof value === "number");
  const [first, ...others] = given;
  const [options = {}, ...more] = args.slice(given.length);
  if (first === undefined || typeof options === "number" || more.length > 0)
    throw new ArgumentError(operation, `takes up to ${names.length} numbers (${names.join(", ")}) and options`);
  given.forEach((value, i) => checkFinite(operation, given.length === 1 ? "the number" : names[i]!, value));
  return [[first, ...others], options];
}

function checkFinite(operation: string, name: string, value: number): void {
  if (!Number.isFinite(value))
    throw new ArgumentError(operation, `${name} must be a finite number, not ${describe(value)}`);
}

/** Rows of the identity: ids (…) in [0, count) give (…, count), 1 at the id and 0 elsewhere. */
export function oneHot(
  count: number,
  ids: Tensor | NDArray | Int32Array | readonly number[],
  options: InitOptions = {},
): Tensor {
  checkOptions("oneHot", options, INIT_OPTIONS);
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

/** The activation that follows, by whose gain (`torch.nn.init.calculate_gain`) the scale is chosen. */
export type GainOf = "linear" | "sigmoid" | "tanh" | "relu";

const GAINS: Record<GainOf, number> = { linear: 1, sigmoid: 1, tanh: 5 / 3, relu: Math.SQRT2 };

export interface FanOptions extends InitOptions {
  /**
   * The tensor's shape, by default (fanIn, fanOut). A (k, k, in, out) shape sets the fans itself: k² · in and k² ·
   * out.
   */
  shape?: Shape | undefined;
  /** Scale; goes before `nonlinearity`. */
  gain?: number | undefined;
  /**
   * Chooses the gain: 1 for "linear" and "sigmoid", 5/3 for "tanh", √2 for "relu". Default "linear" for xavier,
   * "relu" for kaiming.
   */
  nonlinearity?: GainOf | undefined;
}

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

/** What was given to an initialisation that scales by fans. */
function readFans(operation: string, fanIn: number, fanOut: number, options: FanOptions, usual: GainOf) {
  checkOptions(operation, options, ["shape", "gain", "nonlinearity", ...INIT_OPTIONS]);
  const { shape, gain: given, nonlinearity = usual, ...rest } = options;
  if (!Object.hasOwn(GAINS, nonlinearity)) {
    const hint = `Nonlinearities are ${Object.keys(GAINS).join(", ")}`;
    throw new ArgumentError(operation, `there is no gain for the nonlinearity '${String(nonlinearity)}'`, { hint });
  }
  const gain = given ?? GAINS[nonlinearity];
  if (typeof gain !== "number" || !(gain >= 0) || gain === Infinity)
    throw new ArgumentError(operation, `gain must be a finite number of at least 0, not ${describe(gain)}`);
  return { ...fans(operation, fanIn, fanOut, shape), gain, rest };
}

/** U(-a, a) with a = gain · √(6 / (fanIn + fanOut)). */
export function xavierUniform(fanIn: number, fanOut: number, options: FanOptions = {}): Tensor {
  const f = readFans("xavierUniform", fanIn, fanOut, options, "linear");
  const high = f.gain * Math.sqrt(6 / (f.fanIn + f.fanOut));
  return uniform(f.shape, { ...f.rest, low: -high, high });
}

/** N(0, σ²) with σ = gain · √(2 / (fanIn + fanOut)). */
export function xavierNormal(fanIn: number, fanOut: number, options: FanOptions = {}): Tensor {
  const f = readFans("xavierNormal", fanIn, fanOut, options, "linear");
  return normal(f.shape, { ...f.rest, std: f.gain * Math.sqrt(2 / (f.fanIn + f.fanOut)) });
}

/** U(-a, a) with a = gain · √(3 / fanIn). */
export function kaimingUniform(fanIn: number, fanOut: number, options: FanOptions = {}): Tensor {
  const f = readFans("kaimingUniform", fanIn, fanOut, options, "relu");
  const high = f.gain * Math.sqrt(3 / f.fanIn);
  return uniform(f.shape, { ...f.rest, low: -high, high });
}

/** N(0, σ²) with σ = gain / √fanIn. */
export function kaimingNormal(fanIn: number, fanOut: number, options: FanOptions = {}): Tensor {
  const f = readFans("kaimingNormal", fanIn, fanOut, options, "relu");
  return normal(f.shape, { ...f.rest, std: f.gain / Math.sqrt(f.fanIn) });
}
