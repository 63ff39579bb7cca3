/**
 * Layouts: shapes and strides as plain lists of integers, without memory. A view is arithmetic on these lists.
 * Everything that depends on shapes alone is validated here, so that native code can trust what it is given.
 */
import { ShapeError } from "../native/errors.ts";
import { describe } from "./operands.ts";
import { MAX_NDIM } from "../native/symbols.gen.ts";

export type Shape = readonly number[];

/** The largest number of elements: layouts and counts are 32-bit integers in native code. */
export const MAX_SIZE = 2 ** 31 - 1;

export function sizeOf(shape: Shape): number {
  let size = 1;
  for (let i = 0; i < shape.length; i++) size *= shape[i]!;
  return size;
}

export function sameShape(a: Shape, b: Shape): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * A copy of `shape` if it is a list of non-negative integers that fits; throws ShapeError otherwise.
 * @param given shapes of the operands that it follows from: an error has them too.
 */
export function checkShape(operation: string, shape: Shape, given: readonly Shape[] = []): number[] {
  if (!Array.isArray(shape)) throw new ShapeError(operation, `a shape is a list of integers, not ${String(shape)}`);
  const own: number[] = shape.slice();
  if (own.length > MAX_NDIM) throw new ShapeError(operation, `at most ${MAX_NDIM} axes`, { shapes: [own] });
  for (let i = 0; i < own.length; i++) {
    const size: unknown = own[i];
    if (typeof size !== "number" || !Number.isInteger(size) || size < 0) {
      throw new ShapeError(operation, `sizes must be non-negative integers, not ${String(size)}`, { shapes: [own] });
    }
  }
  checkSize(operation, own, given);
  return own;
}

/** Throws ShapeError if an array of this shape would have more than {@link MAX_SIZE} elements. */
export function checkSize(operation: string, shape: Shape, given: readonly Shape[] = []): void {
  const size = sizeOf(shape);
  if (size > MAX_SIZE) {
    throw new ShapeError(operation, `an array has at most 2^31 - 1 elements, not ${size}`, {
      shapes: [...given, shape],
    });
  }
}

/** Whether all elements of a layout with `size` of them lie in memory for `capacity`. */
export function liesWithin(shape: Shape, strides: Shape, offset: number, size: number, capacity: number): boolean {
  let low = offset;
  let high = offset;
  let count = 1;
  for (let i = 0; i < shape.length; i++) {
    const reach = (shape[i]! - 1) * strides[i]!;
    count *= shape[i]!;
    if (reach < 0) low += reach;
    else high += reach;
  }
  return count === size && (size === 0 || (low >= 0 && high < capacity));
}

/** Row-major strides, in elements. */
export function contiguousStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i]!;
  }
  return strides;
}

/** Whether elements lie one after another in row-major order; the strides of axes of size 1 do not matter. */
export function isContiguous(shape: Shape, strides: Shape): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i]!;
    if (size === 0) return true;
    if (size !== 1 && strides[i] !== expected) return false;
    expected *= size;
  }
  return true;
}

/** An axis of an array with `ndim` axes, counted from the end when negative. */
export function checkAxis(operation: string, axis: number, ndim: number, shape?: Shape): number {
  if (!Number.isInteger(axis) || axis < -ndim || axis >= ndim) {
    const problem = Number.isInteger(axis)
      ? `axis ${axis} is out of range for ${ndim} axes`
      : `an axis must be an integer, not ${describe(axis)}`;
    throw new ShapeError(operation, problem, shape ? { shapes: [shape] } : {});
  }
  return axis < 0 ? axis + ndim : axis;
}

/** Distinct axes; `undefined` and `null` mean all of them. */
export function checkAxes(
  operation: string,
  axes: number | readonly number[] | null | undefined,
  shape: Shape,
): number[] {
  if (axes === undefined || axes === null) return Array.from(shape, (_, i) => i);
  const list = typeof axes === "number" ? [axes] : axes;
  if (!Array.isArray(list)) {
    throw new ShapeError(operation, `axes must be an integer or a list, not ${describe(axes)}`, { shapes: [shape] });
  }
  const checked = new Array<number>(list.length);
  let seen = 0; // one bit for each axis
  for (let i = 0; i < list.length; i++) {
    const axis = checkAxis(operation, list[i], shape.length, shape);
    if ((seen & (1 << axis)) !== 0) {
      throw new ShapeError(operation, `axes [${list.join(", ")}] name an axis twice`, { shapes: [shape] });
    }
    seen |= 1 << axis;
    checked[i] = axis;
  }
  return checked;
}

/** The axes of a reduction: those of {@link checkAxes}; a scalar has an axis 0 (or -1) too, as PyTorch's, of nothing. */
export function reducedAxes(operation: string, axes: number | readonly number[] | null | undefined, shape: Shape) {
  const ofScalar = shape.length === 0 && (axes === 0 || axes === -1);
  return checkAxes(operation, ofScalar ? [] : axes, shape);
}

/** The shape that both broadcast to, as NumPy does: aligned at the last axis, size 1 stretches. */
export function broadcastShapes(operation: string, a: Shape, b: Shape, given: readonly Shape[] = [a, b]): number[] {
  const ndim = Math.max(a.length, b.length);
  const out = new Array<number>(ndim);
  for (let i = 1; i <= ndim; i++) {
    const m = a[a.length - i] ?? 1;
    const n = b[b.length - i] ?? 1;
    if (m !== n && m !== 1 && n !== 1)
      throw new ShapeError(operation, "the shapes do not broadcast", { shapes: given });
    out[ndim - i] = m === 1 ? n : m;
  }
  checkSize(operation, out, given);
  return out;
}

/** Strides that view `shape` as `target`: zero along axes that are added or stretched. */
export function broadcastStrides(operation: string, shape: Shape, strides: Shape, target: Shape): number[] {
  const added = target.length - shape.length;
  const out = new Array<number>(target.length).fill(0);
  if (added < 0) throw new ShapeError(operation, "the target has fewer axes", { shapes: [shape, target] });
  for (let i = 0; i < shape.length; i++) {
    if (shape[i] === target[i + added]) out[i + added] = strides[i]!;
    else if (shape[i] !== 1) throw new ShapeError(operation, "only size 1 stretches", { shapes: [shape, target] });
  }
  return out;
}

/** A shape with at most one -1 filled in so that its size is `size`. */
export function inferShape(operation: string, shape: Shape, from: Shape): number[] {
  if (!Array.isArray(shape)) throw new ShapeError(operation, `a shape is a list of integers, not ${String(shape)}`);
  const size = sizeOf(from);
  const unknown = shape.indexOf(-1);
  if (unknown !== shape.lastIndexOf(-1))
    throw new ShapeError(operation, "only one size may be -1", { shapes: [from, shape] });
  const out = checkShape(
    operation,
    shape.map((n: number, i: number) => (i === unknown ? 1 : n)),
  );
  if (unknown >= 0) {
    const known = sizeOf(out);
    out[unknown] = known === 0 ? (size === 0 ? 0 : NaN) : size / known;
    if (!Number.isInteger(out[unknown]))
      throw new ShapeError(operation, "-1 has no size that fits", { shapes: [from, shape] });
  }
  if (sizeOf(out) !== size) {
    const problem = `${size} elements do not make ${sizeOf(out)}`;
    throw new ShapeError(operation, problem, { shapes: [from, shape] });
  }
  return out;
}

/**
 * Strides that view an array as `target` without a copy, or null if there are none. Axes whose elements lie evenly
 * spaced form one group, from the last axis on, and each group is split into axes of the target.
 */
export function reshapeStrides(shape: Shape, strides: Shape, target: Shape): number[] | null {
  if (isContiguous(shape, strides)) return contiguousStrides(target);
  const axes = shape.map((size, i) => ({ size, stride: strides[i]! })).filter(({ size }) => size !== 1);
  const out = new Array<number>(target.length).fill(1);
  let to = target.length;
  for (let end = axes.length; end > 0;) {
    let first = end - 1;
    const { stride } = axes[first]!;
    let size = axes[first]!.size;
    while (first > 0 && axes[first - 1]!.stride === size * stride) size *= axes[--first]!.size;
    let filled = 1;
    while (filled < size) {
      out[--to] = stride * filled;
      filled *= target[to]!;
    }
    if (filled !== size) return null;
    end = first;
  }
  return out;
}
