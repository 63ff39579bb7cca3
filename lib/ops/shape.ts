/** Operations that move elements without computing. Their gradients move them back; most are views both ways. */
import { record } from "../autograd/record.ts";
import { Tensor } from "../autograd/tensor.ts";
import { Node } from "../autograd/tape.ts";
import { ArgumentError, ShapeError } from "../native/errors.ts";
import { pad as padArray } from "../ndarray/arithmetic.ts";
import { sameDevice } from "../ndarray/operands.ts";
import { checkAxes, checkAxis, sameShape, type Shape } from "../ndarray/layout.ts";
import { partAt, type Range } from "../ndarray/views.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { checkInteger, checkTensor, unbroadcast } from "./support.ts";

/** The same elements in row-major order under another shape; one size may be -1. */
export function reshape(a: Tensor, shape: Shape): Tensor {
  checkTensor("reshape", a);
  const from = a.shape;
  return record("reshape", a.data.reshape(shape), [a], [], (g) => [g.reshape(from)]);
}

/** Drops the axes of size 1: all of them, or those named, of which larger ones stay as they are (PyTorch's `squeeze`). */
export function squeeze(a: Tensor, axes?: number | readonly number[]): Tensor {
  checkTensor("squeeze", a);
  const from = a.shape;
  return record("squeeze", a.data.squeeze(axes), [a], [], (g) => [g.reshape(from)]);
}

/** A new axis of size 1, which is axis `axis` of the result; -1 is the last. */
export function unsqueeze(a: Tensor, axis: number): Tensor {
  checkTensor("unsqueeze", a);
  const from = a.shape;
  return record("unsqueeze", a.data.unsqueeze(axis), [a], [], (g) => [g.reshape(from)]);
}

/** Axis i of the result is axis `axes[i]` of `a`. */
export function permute(a: Tensor, axes: readonly number[]): Tensor {
  checkTensor("permute", a);
  const y = a.data.permute(axes);
  const order = checkAxes("permute", axes, a.shape);
  return record("permute", y, [a], [], (g) => [g.permute(inverse(order))]);
}

/** The order that undoes a permutation. */
function inverse(order: readonly number[]): number[] {
  const out = new Array<number>(order.length);
  for (let i = 0; i < order.length; i++) out[order[i]!] = i;
  return out;
}

/** Swaps two axes, by default the last two. */
export function transpose(a: Tensor, first = -2, second = -1): Tensor {
  checkTensor("transpose", a);
  return record("transpose", a.data.transpose(first, second), [a], [], (g) => [g.transpose(first, second)]);
}

/** Stretches axes of size 1, and new axes in front, to `shape`. Gradient: summed over them. */
export function broadcastTo(a: Tensor, shape: Shape): Tensor {
  checkTensor("broadcastTo", a);
  const from = a.shape;
  return record("broadcastTo", a.data.broadcastTo(shape), [a], [], (g) => [unbroadcast(g, from)]);
}

/** Reverses axes, by default all. */
export function flip(a: Tensor, axes?: number | readonly number[]): Tensor {
  checkTensor("flip", a);
  const reversed = checkAxes("flip", axes, a.shape); // a copy: the caller may write into the list before backward
  return record("flip", a.data.flip(reversed), [a], [], (g) => [g.flip(reversed)]);
}

/**
 * The diagonal of two axes, by default the first, as the last axis instead of them: elements (i, i + offset), or
 * (i - offset, i) for a negative offset. Gradient: zero beside it.
 */
export function diagonal(a: Tensor, offset = 0, first = 0, second = 1): Tensor {
  checkTensor("diagonal", a);
  const { shape } = a;
  return record("diagonal", a.data.diagonal(offset, first, second), [a], [], (g) => {
    const whole = NDArray.zeros(shape, g);
    whole.diagonal(offset, first, second).set([], g);
    return [whole];
  });
}

/**
 * A part of `a`, one range for each axis: an index, null, [start, stop] or [start, stop, step]. Gradient: zero
 * outside.
 */
export function slice(a: Tensor, ...ranges: Range[]): Tensor {
  checkTensor("slice", a);
  const { shape } = a;
  const y = a.data.slice(...ranges);
  const own = ranges.map(copyOf);
  return record("slice", y, [a], [], (g) => [NDArray.zeros(shape, g).set(own, g)]);
}

/** The caller may write into a list of its own before backward reads it. */
function copyOf(range: Range): Range {
  if (!Array.isArray(range)) return range ?? null;
  return range.length === 3 ? [range[0], range[1], range[2]] : [range[0], range[1]];
}

/** Zeros around: `widths[i]` is [before, after] for axis i. */
export function pad(a: Tensor, widths: readonly (readonly [number, number])[]): Tensor {
  checkTensor("pad", a);
  const inside = a.shape.map((n, i): Range => [widths?.[i]?.[0] ?? 0, (widths?.[i]?.[0] ?? 0) + n]);
  return record("pad", padArray(a.data, widths), [a], [], (g) => [g.slice(...inside)]);
}

/** Puts `dilation` zeros after every element along each of the axes: (2, 2) by 1 on both is (4, 4). */
export function dilate(a: Tensor, axes: number | readonly number[], dilation: number): Tensor {
  checkTensor("dilate", a);
  checkInteger("dilate", "the dilation", dilation);
  const dilated = checkAxes("dilate", axes, a.shape);
  const shape = a.shape.map((n, i) => (dilated.includes(i) ? n * (dilation + 1) : n));
  const every = everyNth(shape, dilated, dilation + 1);
  const y = NDArray.allocate("dilate", shape, a.data, [a.shape]).fill("dilate", 0).set(every, a.data);
  return record("dilate", y, [a], [], (g) => [g.slice(...every)]);
}

/** Takes every (dilation + 1)-th element along each of the axes: the inverse of {@link dilate}. */
export function undilate(a: Tensor, axes: number | readonly number[], dilation: number): Tensor {
  checkTensor("undilate", a);
  checkInteger("undilate", "the dilation", dilation);
  return slice(a, ...everyNth(a.shape, checkAxes("undilate", axes, a.shape), dilation + 1));
}

const everyNth = (shape: Shape, axes: readonly number[], step: number): Range[] =>
  shape.map((n, i): Range => (axes.includes(i) ? [0, n, step] : null));

/** Joins tensors of one shape along a new axis. */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  checkList("stack", tensors);
  const { shape } = tensors[0]!;
  if (!tensors.every((t) => sameShape(t.shape, shape)))
    throw new ShapeError("stack", "all shapes must be the same", { shapes: tensors.map((t) => t.shape) });
  const at = checkAxis("stack", axis, shape.length + 1, shape);
  const parts = tensors.map((_, i) => indexAt(at, i));
  return join("stack", tensors, [...shape.slice(0, at), tensors.length, ...shape.slice(at)], parts);
}

/** Joins tensors along an axis they have; their other sizes agree. */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  checkList("concat", tensors);
  const { shape } = tensors[0]!;
  const at = checkAxis("concat", axis, shape.length, shape);
  let total = 0;
  const parts = tensors.map((t) => {
    const fits = t.shape.length === shape.length && t.shape.every((n, i) => i === at || n === shape[i]);
    if (!fits)
      throw new ShapeError("concat", `all sizes but that of axis ${at} must be the same`, {
        shapes: tensors.map((x) => x.shape),
      });
    const start = total;
    total += t.shape[at]!;
    return partAt(at, start, total);
  });
  return join(
    "concat",
    tensors,
    shape.map((n, i) => (i === at ? total : n)),
    parts,
  );
}

/**
 * The slices of `a` along an axis, which is dropped: the inverse of {@link stack}. This is `torch.unbind`; parts that
 * keep the axis are those of {@link chunk}, or a {@link slice}.
 */
export function split(a: Tensor, axis = 0): Tensor[] {
  checkTensor("split", a);
  const at = checkAxis("split", axis, a.shape.length, a.shape);
  const parts = Array.from({ length: a.shape[at]! }, (_, i) => indexAt(at, i));
  return cut("split", a, parts);
}

/**
 * At most `count` slices of one size along an axis, which they keep; the last may be smaller. As torch.chunk: 5 elements
 * in 4 chunks are 2, 2 and 1. They are views.
 */
export function chunk(a: Tensor, count: number, axis = 0): Tensor[] {
  checkTensor("chunk", a);
  checkInteger("chunk", "the count", count, 1);
  const at = checkAxis("chunk", axis, a.shape.length, a.shape);
  const total = a.shape[at]!;
  const size = Math.ceil(total / count);
  const chunks = total === 0 ? count : Math.ceil(total / size);
  const parts = Array.from({ length: chunks }, (_, i) => partAt(at, i * size, (i + 1) * size));
  return cut("chunk", a, parts);
}

/** Views of parts that do not overlap. */
function cut(name: string, a: Tensor, parts: readonly Range[][]): Tensor[] {
  // One node for the whole array collects the gradients of all parts in place.
  const whole = record(name, a.data.alias(), [a], [], (g) => [g]);
  const node = whole.sink?.node;
  whole.dispose(); // backward needs its node only
  return parts.map((ranges) => {
    const output = a.data.slice(...ranges);
    if (!node) return new Tensor(output);
    return new Tensor(output, {}, new Node(name, [output.shape], [node.part(ranges)], [], (gradients) => gradients));
  });
}

const indexAt = (axis: number, index: number): Range[] => [...new Array<null>(axis).fill(null), index];

/** Copies each tensor to its part of a new array. */
function join(name: string, tensors: readonly Tensor[], shape: Shape, parts: readonly (readonly Range[])[]): Tensor {
  const dtype = tensors.some((t) => t.dtype === "float32") ? "float32" : "int32";
  const shapes = tensors.map((t) => t.shape);
  const out = NDArray.allocate(name, shape, { dtype, device: tensors[0]!.device }, shapes);
  for (const [i, t] of tensors.entries()) {
    sameDevice(name, tensors[0]!.data, t.data);
    out.set(parts[i]!, t.data);
  }
  return record(name, out, tensors, [], (g, { needs }) => parts.map((part, i) => (needs[i] ? g.slice(...part) : null)));
}

function checkList(name: string, tensors: readonly Tensor[]): void {
  if (!Array.isArray(tensors) || tensors.length === 0)
    throw new ArgumentError(name, "takes a list of at least one tensor");
  for (const t of tensors) checkTensor(name, t, "each element of the list");
}
