/** What every family of operations needs: checking operands, and undoing a broadcast in backward. */
import { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, DTypeError, ShapeError } from "../native/errors.ts";
import { reduce } from "../ndarray/arithmetic.ts";
import { MAX_SIZE, sameShape, type Shape } from "../ndarray/layout.ts";
import type { NDArray } from "../ndarray/ndarray.ts";
import { describe, sameDevice } from "../ndarray/operands.ts";

/** In backward: write the result over the incoming gradient if nobody else owns its memory. */
export const overGradient = { reuse: true } as const;

/** `array` itself where its elements are in row-major order, else a copy, which {@link releaseCopy} frees. */
export function contiguous(array: NDArray): NDArray {
  return array.isCompact() ? array : array.copy();
}

/** Frees what {@link contiguous} made of `array`, if that is a copy. */
export function releaseCopy(copy: NDArray, array: NDArray): void {
  if (copy !== array) copy.dispose();
}

/**
 * The operands of a product, as its backward saves them: each is read by the other's gradient alone. Where that is not
 * wanted the other stands in its place, so that it is not kept, and may be written into.
 */
export function factors(a: Tensor, b: Tensor): readonly [NDArray, NDArray] {
  return [b.requiresGrad ? a.data : b.data, a.requiresGrad ? b.data : a.data];
}

/** Throws unless `value` is a Tensor. */
export function checkTensor(operation: string, value: unknown, what = "the operand"): asserts value is Tensor {
  if (value instanceof Tensor) return;
  throw new ArgumentError(operation, `${what} must be a Tensor, not ${describe(value)}`, {
    hint: "Make one with tensor(values)",
  });
}

/** Throws unless `value` is a Tensor of float32. */
export function checkFloat(operation: string, value: unknown, what = "the operand"): asserts value is Tensor {
  checkTensor(operation, value, what);
  if (value.dtype !== "float32") {
    throw new DTypeError(operation, `${what} must be float32, not ${value.dtype}`, { shapes: [value.shape] });
  }
}

/** Throws unless `ids` is a Tensor of int32 on the device of `table`, which they index. */
export function checkIds(operation: string, ids: unknown, table: Tensor, what: string): asserts ids is Tensor {
  checkTensor(operation, ids, `the ${what}`);
  sameDevice(operation, table.data, ids.data);
  if (ids.dtype !== "int32") {
    throw new DTypeError(operation, `${what} must be int32`, {
      shapes: [table.shape, ids.shape],
      hint: 'Make them with { dtype: "int32" }',
    });
  }
}

/** Throws unless `value` is a number in the given interval. */
export function checkNumber(operation: string, name: string, value: number, low = -Infinity, high = Infinity): void {
  if (typeof value !== "number" || !(value >= low && value <= high)) {
    const range = low === -Infinity && high === Infinity ? "a number" : `a number in [${low}, ${high}]`;
    throw new ArgumentError(operation, `${name} must be ${range}, not ${describe(value)}`);
  }
}

/** Throws unless `value` is an integer of at least `low` that native code can take. */
export function checkInteger(operation: string, name: string, value: number, low = 0): void {
  if (!Number.isInteger(value) || value < low || value > MAX_SIZE) {
    throw new ArgumentError(operation, `${name} must be an integer of at least ${low}, not ${describe(value)}`);
  }
}

/** Throws unless an operand has the shape. */
export function checkShapeIs(operation: string, what: string, array: { shape: Shape }, shape: Shape): void {
  if (!sameShape(array.shape, shape)) {
    throw new ShapeError(operation, `${what} must have shape (${shape.join(", ")})`, { shapes: [array.shape] });
  }
}

/** What batch normalisation has for each channel. */
export interface PerChannel {
  weight: Tensor;
  bias: Tensor;
  runningMean: Tensor;
  runningVar: Tensor;
}

/** Throws unless each is a Tensor (channels) of float32 on the device of `x`. */
export function checkPerChannel(operation: string, x: Tensor, channels: number, norm: PerChannel): void {
  checkChannels(operation, x, channels, "weight", norm.weight);
  checkChannels(operation, x, channels, "bias", norm.bias);
  checkChannels(operation, x, channels, "runningMean", norm.runningMean);
  checkChannels(operation, x, channels, "runningVar", norm.runningVar);
}

function checkChannels(operation: string, x: Tensor, channels: number, what: string, value: Tensor): void {
  checkFloat(operation, value, what);
  if (value.ndim !== 1 || value.shape[0] !== channels) checkShapeIs(operation, what, value, [channels]);
  sameDevice(operation, x.data, value.data);
}

/** The gradient of an operand of `shape` that was broadcast: summed over the axes that were added or stretched. */
export function unbroadcast(gradient: NDArray, shape: Shape): NDArray {
  if (sameShape(gradient.shape, shape)) return gradient;
  const added = gradient.ndim - shape.length;
  const axes = gradient.shape.flatMap((n, i) => (i < added || (shape[i - added] === 1 && n !== 1) ? [i] : []));
  return reduce("sum", gradient, { axes, keepDims: true }).reshape(shape);
}

/** How many places a kernel of `k` has along an axis of `size`; below 1 where it does not fit. */
export function convSize(size: number, k: number, stride: number, padding: number): number {
  return Math.floor((size + 2 * padding - k) / stride) + 1;
}
