/**
 * Arithmetic on arrays: one function for each shape of kernel (unary, binary, where, reduce, pad), which validates,
 * promotes dtypes as PyTorch does, chooses the result's layout, and makes one native call.
 */
import { ArgumentError, ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { Binary, Reduce, Unary } from "../native/symbols.gen.ts";
import { dtypeCode, isInt32 } from "./dtype.ts";
import * as layout from "./layout.ts";
import type { Range } from "./views.ts";
import { NDArray } from "./ndarray.ts";
import { describe, sameDevice } from "./operands.ts";
import { checkFlag, checkOptions } from "./options.ts";
import { pack } from "./pack.ts";

/** They give 1 or 0. */
export const COMPARISONS = ["equal", "notEqual", "less", "lessEqual", "greater", "greaterEqual"] as const;

const INT32_UNARY = new Set<Unary>([
  "neg",
  "abs",
  "addScalar",
  "mulScalar",
  "rsubScalar",
  "maximumScalar",
  "minimumScalar",
  ...COMPARISONS.map((op) => `${op}Scalar` as const),
]);
const INT32_BINARY = new Set<Binary>(["add", "sub", "mul", "maximum", "minimum", ...COMPARISONS]);

/** What a kernel may do with its first operand. */
interface InPlace {
  /** Write the result over the first operand if nobody else owns its memory. */
  reuse?: boolean;
}

/**
 * out[i] = op(a[i], p), in the memory order of `a`. int32 is converted to float32 where the operation or p needs it.
 */
export function unary(op: Unary, a: NDArray, p = 0, { reuse = false }: InPlace = {}): NDArray {
  if (typeof p !== "number") throw new ArgumentError(op, `the operand must be a number, not ${typeof p}`);
  if (a.dtype === "int32" && op === "relu") op = "maximumScalar"; // of 0
  if (a.dtype === "int32" && !(INT32_UNARY.has(op) && isInt32(p))) {
    using floats = a.to({ dtype: "float32" });
    return unary(op, floats, p, { reuse: true });
  }
  const out = reuse && reusable(a, a.shape) ? a.alias() : emptyLike(a, a.shape);
  if (out.size === 0) return out;
  const backend = a.device.backend;
  const packed = pack(a.shape, out.strides, a.strides);
  check(backend.th_unary(out.pointer, a.pointer, packed, Unary[op], dtypeCode(a.dtype), p), backend, op);
  return out;
}

/** out[i] = op(a[i], b[i]) with broadcasting; int32 with float32 gives float32. */
export function binary(op: Binary, a: NDArray, b: NDArray, p = 0, { reuse = false }: InPlace = {}): NDArray {
  sameDevice(op, a, b);
  if (a.dtype !== b.dtype || (a.dtype === "int32" && !INT32_BINARY.has(op))) {
    using x = a.to({ dtype: "float32" });
    using y = b.to({ dtype: "float32" });
    return binary(op, x, y, p);
  }
  const same = layout.sameShape(a.shape, b.shape);
  const shape = same ? a.shape : layout.broadcastShapes(op, a.shape, b.shape);
  const left = same ? a.strides : layout.broadcastStrides(op, a.shape, a.strides, shape);
  const right = same ? b.strides : layout.broadcastStrides(op, b.shape, b.strides, shape);
  const out = reuse && reusable(a, shape) ? a.alias() : emptyLike(a.size >= b.size ? a : b, shape);
  if (out.size === 0) return out;
  const backend = a.device.backend;
  const packed = pack(shape, out.strides, left, right);
  check(backend.th_binary(out.pointer, a.pointer, b.pointer, packed, Binary[op], dtypeCode(a.dtype), p), backend, op);
  return out;
}

/** An operand that is an array or a number. */
export type Operand = NDArray | number;

/** Each two-sided operation with a number on the right, and on the left. */
const WITH_NUMBER = {
  add: (a: NDArray, p: number) => unary("addScalar", a, p),
  sub: (a: NDArray, p: number) => unary("addScalar", a, a.dtype === "int32" && isInt32(p) ? -p | 0 : -p), // int32 wraps
  mul: (a: NDArray, p: number) => unary("mulScalar", a, p),
  div: (a: NDArray, p: number) => unary("divScalar", a, p),
  maximum: (a: NDArray, p: number) => unary("maximumScalar", a, p),
  minimum: (a: NDArray, p: number) => unary("minimumScalar", a, p),
  equal: (a: NDArray, p: number) => unary("equalScalar", a, p),
  notEqual: (a: NDArray, p: number) => unary("notEqualScalar", a, p),
  less: (a: NDArray, p: number) => unary("lessScalar", a, p),
  lessEqual: (a: NDArray, p: number) => unary("lessEqualScalar", a, p),
  greater: (a: NDArray, p: number) => unary("greaterScalar", a, p),
  greaterEqual: (a: NDArray, p: number) => unary("greaterEqualScalar", a, p),
} satisfies Partial<Record<Binary, (a: NDArray, p: number) => NDArray>>;

/** Two-sided arithmetic whose right side may be a number. */
export function combine(op: keyof typeof WITH_NUMBER, a: NDArray, b: Operand): NDArray {
  return typeof b === "number" ? WITH_NUMBER[op](a, b) : binary(op, a, checkArray(op, b));
}

/** A comparison for users: 1 or 0 as int32, which masks take. */
export function compare(op: (typeof COMPARISONS)[number], a: NDArray, b: Operand): NDArray {
  const holds = combine(op, a, b);
  if (holds.dtype === "int32") return holds;
  using floats = holds;
  return floats.to({ dtype: "int32" });
}

/** 1 where an element is NaN, as int32. */
export const isNaN = (a: NDArray): NDArray => compare("notEqual", a, a);

/** 1 where an element is neither infinite nor NaN, as int32. */
export function isFinite(a: NDArray): NDArray {
  using size = unary("abs", a);
  return compare("less", size, Infinity);
}

function checkArray(op: string, value: unknown): NDArray {
  if (value instanceof NDArray) return value;
  const hint = describe(value) === "Tensor" ? { hint: "A tensor's array is its .data" } : {};
  throw new ArgumentError(op, `an operand must be an array or a number, not ${describe(value)}`, hint);
}

/** Throws unless `value` is an array or a number. */
export function checkOperand(op: string, value: Operand): Operand {
  return typeof value === "number" ? value : checkArray(op, value);
}

/** condition[i] is not zero ? a[i] : b[i], with broadcasting; int32 with float32 gives float32. */
export function where(condition: NDArray, a: Operand, b: Operand): NDArray {
  const isWhole = (side: Operand) => (typeof side === "number" ? isInt32(side) : side.dtype === "int32");
  const isArray = (side: Operand) => typeof side !== "number";
  const dtype = isWhole(a) && isWhole(b) && (isArray(a) || isArray(b)) ? "int32" : "float32";
  const { device } = condition;
  // Handles of our own, which the end of the function frees.
  using x = typeof a === "number" ? NDArray.full([], a, { dtype, device }) : a.to({ dtype });
  using y = typeof b === "number" ? NDArray.full([], b, { dtype, device }) : b.to({ dtype });
  sameDevice("where", condition, x);
  sameDevice("where", condition, y);
  const values = layout.broadcastShapes("where", x.shape, y.shape);
  const shape = layout.broadcastShapes("where", condition.shape, values);
  const stretched = (array: NDArray) => layout.broadcastStrides("where", array.shape, array.strides, shape);
  const out = emptyLike(x.size >= y.size ? x : y, shape);
  if (out.size === 0) return out;
  const { backend } = device;
  const packed = pack(shape, out.strides, stretched(condition), stretched(x), stretched(y));
  const addresses = [out.pointer, condition.pointer, x.pointer, y.pointer] as const;
  check(backend.th_where(...addresses, packed, dtypeCode(condition.dtype)), backend, "where");
  return out;
}

/** One axis, or several, counted from the end when negative. */
export type Axes = number | readonly number[];

export interface ReduceOptions {
  /** The axes to reduce: one, several, or all (the default). */
  axes?: Axes | null | undefined;
  /** Keep reduced axes with size 1. Default false. */
  keepDims?: boolean | undefined;
}

/** What a reduction was given as options: `sum(0)` is short for `sum({ axes: 0 })`. */
export function readReduction(operation: string, options: Axes | ReduceOptions): ReduceOptions {
  if (isAxes(options)) return { axes: options };
  const known = checkOptions(operation, options, ["axes", "keepDims"]);
  checkFlag(operation, "keepDims", known.keepDims);
  return known;
}

/** Whether options are axes alone. */
export const isAxes = (value: Axes | ReduceOptions): value is Axes => typeof value === "number" || Array.isArray(value);

/** Reduces axes. The sum is multiplied by `scale`. */
export function reduce(op: Reduce, a: NDArray, { axes, keepDims = false }: ReduceOptions = {}, scale = 1): NDArray {
  const reduced = layout.reducedAxes(op, axes, a.shape);
  if (a.dtype === "int32" && (op === "logSumExp" || scale !== 1)) {
    using floats = a.to({ dtype: "float32" });
    return reduce(op, floats, { axes, keepDims }, scale);
  }
  // The native kernel takes the kept axes first. Loops: lists made by map and filter would take as long as a small sum.
  const outShape: number[] = [];
  const shape: number[] = [];
  const strides: number[] = [];
  for (const taken of [false, true]) {
    for (let axis = 0; axis < a.ndim; axis++) {
      if (reduced.includes(axis) !== taken) continue;
      shape.push(a.shape[axis]!);
      strides.push(a.strides[axis]!);
    }
  }
  for (let axis = 0; axis < a.ndim; axis++) {
    const isReduced = reduced.includes(axis);
    if (!isReduced || keepDims) outShape.push(isReduced ? 1 : a.shape[axis]!);
  }
  const isIndex = op === "argMax" || op === "argMin";
  const out = NDArray.empty(outShape, { dtype: isIndex ? "int32" : a.dtype, device: a.device });
  if (a.size === 0) return emptyReduction(op, a, out, scale);
  const backend = a.device.backend;
  const status = backend.th_reduce(
    out.pointer,
    a.pointer,
    pack(shape, strides),
    reduced.length,
    Reduce[op],
    dtypeCode(a.dtype),
    scale,
  );
  check(status, backend, op);
  return out;
}

/** The identity of the operation, where it has one. */
function emptyReduction(op: Reduce, a: NDArray, out: NDArray, scale: number): NDArray {
  if (out.size === 0) return out;
  if (op !== "sum" && op !== "logSumExp") {
    const extreme = op === "max" || op === "argMax" ? "maximum" : "minimum";
    throw new ShapeError(op, `there is no ${extreme} of no elements`, { shapes: [a.shape] });
  }
  const sum = Number.isFinite(scale) ? 0 : NaN; // a mean over no elements is 0 / 0
  out.fill(op, op === "logSumExp" ? -Infinity : sum);
  return out;
}

/** Whether any element is not zero, or all are not: 1 or 0 as int32. NaN is not zero. */
export function anyOrAll(op: "any" | "all", a: NDArray, options: ReduceOptions): NDArray {
  const axes = layout.reducedAxes(op, options.axes, a.shape);
  using each = combine(op === "any" ? "notEqual" : "equal", a, 0);
  using count = reduce("sum", each, { ...options, axes });
  return compare(op === "any" ? "notEqual" : "equal", count, 0);
}

/** The mean: a sum scaled in the same pass. NaN for no elements, as NumPy's. */
export function mean(a: NDArray, options: ReduceOptions = {}): NDArray {
  const axes = layout.reducedAxes("mean", options.axes, a.shape);
  const count = axes.reduce((n, axis) => n * a.shape[axis]!, 1);
  if (count === 1 && a.dtype === "int32") {
    using floats = a.to({ dtype: "float32" });
    return reduce("sum", floats, options);
  }
  return reduce("sum", a, options, 1 / count);
}

/** Zeros around an array: `widths[i]` is [before, after] for axis i. */
export function pad(a: NDArray, widths: readonly (readonly [number, number])[]): NDArray {
  const valid =
    Array.isArray(widths) &&
    widths.length === a.ndim &&
    [...widths].every(
      (w) => Array.isArray(w) && w.length === 2 && [...w].every((n: number) => Number.isInteger(n) && n >= 0),
    );
  if (!valid)
    throw new ShapeError(
      "pad",
      `widths must be a [before, after] of non-negative integers for each of ${a.ndim} axes, not ${JSON.stringify(widths) ?? describe(widths)}`,
      { shapes: [a.shape] },
    );
  const shape = a.shape.map((n, i) => widths[i]![0] + n + widths[i]![1]);
  const out = NDArray.allocate("pad", shape, a, [a.shape]).fill("pad", 0);
  out.set(
    a.shape.map((n, i): Range => [widths[i]![0], widths[i]![0] + n]),
    a,
  );
  return out;
}

/**
 * Whether the result of `shape` may be written over `a`: nobody else owns its memory, and its elements are distinct.
 */
function reusable(a: NDArray, shape: layout.Shape): boolean {
  return (
    a.storage.exclusive &&
    a.shape.length === shape.length &&
    a.shape.every((n, i) => n === shape[i] && (n === 1 || a.strides[i] !== 0))
  );
}

/** An array of `shape` whose axes lie in memory in the order of `model`'s, so that NHWC images stay NHWC. */
function emptyLike(model: NDArray, shape: layout.Shape): NDArray {
  const out = NDArray.empty(shape, model);
  if (model.ndim !== shape.length || model.isCompact()) return out;
  const order = shape
    .map((_, i) => i)
    .sort((i, j) => Math.abs(model.strides[j]!) - Math.abs(model.strides[i]!) || i - j);
  const inMemory = layout.contiguousStrides(order.map((i) => shape[i]!));
  const strides = new Array<number>(shape.length);
  order.forEach((axis, position) => (strides[axis] = inMemory[position]!));
  const permuted = new NDArray(out.device, out.storage.retain(), out.dtype, shape, strides, 0);
  out.dispose();
  return permuted;
}
