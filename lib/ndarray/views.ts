/** Views: the layout of a permuted, sliced or flipped array, computed from its layout. No memory is touched. */
import { ShapeError } from "../native/errors.ts";
import { checkAxes, checkAxis, checkShape, reducedAxes, type Shape } from "./layout.ts";
import { describe } from "./operands.ts";

/**
 * One range of `slice`: an integer drops the axis, null takes all of it, a list is [start, stop] or [start, stop,
 * step], where null stands for the end that Python lets one leave out.
 */
export type Range = number | null | readonly [End, End] | readonly [End, End, number];
type End = number | null;

/** The ranges of a part [start, stop) of one axis. */
export const partAt = (axis: number, start: number, stop: number): Range[] => [
  ...new Array<null>(axis).fill(null),
  [start, stop],
];

/** Where the elements of an array lie in its storage. */
export interface Layout {
  readonly shape: Shape;
  readonly strides: Shape;
  readonly offset: number;
}

/** Axis i of the view is axis `axes[i]`. */
export function permuteLayout({ shape, strides, offset }: Layout, axes: readonly number[]): Layout {
  const order = checkAxes("permute", axes, shape);
  if (!Array.isArray(axes) || order.length !== shape.length) {
    throw new ShapeError("permute", `axes must name every axis, not [${String(axes)}]`, { shapes: [shape] });
  }
  const view = { shape: new Array<number>(order.length), strides: new Array<number>(order.length), offset };
  for (let i = 0; i < order.length; i++) {
    view.shape[i] = shape[order[i]!]!;
    view.strides[i] = strides[order[i]!]!;
  }
  return view;
}

/** Without those of the axes, by default all, that have size 1. */
export function squeezeLayout(
  { shape, strides, offset }: Layout,
  axes: number | readonly number[] | undefined,
): Layout {
  const dropped = reducedAxes("squeeze", axes, shape); // a scalar has an axis too
  const stays = (_: number, i: number) => shape[i] !== 1 || !dropped.includes(i);
  return { shape: shape.filter(stays), strides: strides.filter(stays), offset };
}

/** With an axis of size 1 before `axis`, which counts those of the result. */
export function unsqueezeLayout({ shape, strides, offset }: Layout, axis: number): Layout {
  const at = checkAxis("unsqueeze", axis, shape.length + 1, shape);
  const target = checkShape("unsqueeze", [...shape.slice(0, at), 1, ...shape.slice(at)]);
  return { shape: target, strides: [...strides.slice(0, at), 1, ...strides.slice(at)], offset };
}

/** Without two axes, whose diagonal is the last axis instead: elements (i, i + offset), or (i - offset, i) below it. */
export function diagonalLayout({ shape, strides, offset }: Layout, above: number, axes: readonly number[]): Layout {
  if (!Number.isInteger(above)) {
    throw new ShapeError("diagonal", `the offset must be an integer, not ${describe(above)}`, { shapes: [shape] });
  }
  const [row, column] = checkAxes("diagonal", axes, shape) as [number, number];
  const [down, right] = [Math.max(0, -above), Math.max(0, above)];
  const count = Math.max(0, Math.min(shape[row]! - down, shape[column]! - right));
  const start = count === 0 ? 0 : down * strides[row]! + right * strides[column]!;
  const stays = (_: number, i: number) => i !== row && i !== column;
  return {
    shape: [...shape.filter(stays), count],
    strides: [...strides.filter(stays), strides[row]! + strides[column]!],
    offset: offset + start,
  };
}

/** One range for each axis; those left out take all. */
export function sliceLayout({ shape, strides, offset }: Layout, ranges: readonly Range[], operation = "slice"): Layout {
  if (ranges.length > shape.length) {
    throw new ShapeError(operation, `${ranges.length} ranges for ${shape.length} axes`, { shapes: [shape] });
  }
  const view = { shape: [] as number[], strides: [] as number[], offset };
  for (let i = 0; i < shape.length; i++) {
    const { start, count, step, drops } = resolveRange(operation, ranges[i] ?? null, shape[i]!, shape);
    if (count > 0) view.offset += start * strides[i]!;
    if (drops) continue;
    view.shape.push(count);
    view.strides.push(count > 1 ? step * strides[i]! : strides[i]!); // a step past the end goes nowhere, however large
  }
  return view;
}

/** Axes walked backwards from their last element. */
export function flipLayout({ shape, strides, offset }: Layout, axes: number | readonly number[] | undefined): Layout {
  const view = { shape, strides: [...strides], offset };
  for (const axis of checkAxes("flip", axes, shape)) {
    view.offset += Math.max(0, shape[axis]! - 1) * strides[axis]!;
    view.strides[axis] = -strides[axis]!;
  }
  return view;
}

/**
 * A range against an axis of `size`: the first index, how many, and the step between them; `drops` if it is one
 * index.
 */
export interface ResolvedRange {
  start: number;
  count: number;
  step: number;
  drops: boolean;
}

/**
 * Resolves one range of `slice`. Integers must be inside the axis; the ends of [start, stop] are clamped as in
 * Python.
 */
export function resolveRange(operation: string, range: Range, size: number, shape: Shape): ResolvedRange {
  const fail = (problem: string): never => {
    throw new ShapeError(operation, problem, { shapes: [shape] });
  };
  if (range === null) return { start: 0, count: size, step: 1, drops: false };
  if (typeof range === "number") {
    if (!Number.isInteger(range) || range < -size || range >= size)
      fail(`index ${range} is out of range for size ${size}`);
    return { start: range < 0 ? range + size : range, count: 1, step: 1, drops: true };
  }
  const parts = Array.isArray(range) ? [...range] : [];
  const isEnd = (part: unknown, i: number): boolean => Number.isInteger(part) || (part === null && i < 2);
  if (parts.length < 2 || parts.length > 3 || !parts.every(isEnd)) {
    const given = Array.isArray(range) ? `[${[...range].map(String).join(", ")}]` : describe(range);
    fail(`a range is an integer, null, [start, stop] or [start, stop, step], with null for an open end, not ${given}`);
  }
  const [from, to, step = 1] = parts as [End, End, number?];
  if (step === 0) fail("the step of a range may not be 0");
  const lowest = step > 0 ? 0 : -1;
  const clamp = (i: number): number => Math.min(Math.max(i < 0 ? i + size : i, lowest), size + lowest);
  const [low, high] = [lowest, size + lowest]; // the ends of the axis, for a step backwards each one further down
  const start = from === null ? (step > 0 ? low : high) : clamp(from);
  const stop = to === null ? (step > 0 ? high : low) : clamp(to);
  const count = Math.max(0, Math.ceil((stop - start) / step));
  return { start, count, step, drops: false };
}
