/** Copies of arrays with their elements elsewhere: triangles, rolls and repetitions. */
import { ShapeError } from "../native/errors.ts";
import { binary, where } from "./arithmetic.ts";
import { checkAxes, checkShape, checkSize, type Shape, sizeOf } from "./layout.ts";
import { NDArray } from "./ndarray.ts";
import { describe } from "./operands.ts";
import type { Range } from "./views.ts";

/** The lower (tril) or upper (triu) triangle of the last two axes, with the given diagonal; zeros elsewhere. */
export function triangle(name: "tril" | "triu", a: NDArray, diagonal: number): NDArray {
  const [rows, columns] = a.shape.slice(-2);
  if (rows === undefined || columns === undefined) {
    throw new ShapeError(name, "takes at least two axes", { shapes: [a.shape] });
  }
  checkWhole(name, "the diagonal", diagonal, a.shape);
  const from = Math.max(-rows, Math.min(columns, diagonal)); // all or nothing beyond
  const counting = (size: number, first: number) => Int32Array.from({ length: size }, (_, i) => first + i);
  using row = NDArray.from(counting(rows, from), { shape: [rows, 1], device: a.device });
  using column = NDArray.from(counting(columns, 0), { device: a.device });
  using inside = binary(name === "tril" ? "greaterEqual" : "lessEqual", row, column);
  return where(inside, a, 0);
}

/** Elements moved by `shifts` along the axes, those that leave at one end entering at the other; without axes, in row-major order. */
export function roll(a: NDArray, shifts: number | readonly number[], axes?: number | readonly number[]): NDArray {
  if (axes === undefined && a.ndim !== 1) {
    using flat = a.reshape([-1]);
    using rolled = roll(flat, shifts, 0);
    return rolled.reshape(a.shape);
  }
  const along = checkAxes("roll", axes, a.shape);
  const list = typeof shifts === "number" ? [shifts] : shifts;
  if (!Array.isArray(list) || list.length !== along.length) {
    const given = Array.isArray(list) ? list.length : describe(list);
    throw new ShapeError("roll", `takes a shift for each of ${along.length} axes, not ${given}`, { shapes: [a.shape] });
  }
  // Each axis is cut in two, which change places.
  let blocks: { to: Range[]; from: Range[] }[] = [{ to: [], from: [] }];
  for (const [axis, size] of a.shape.entries()) {
    const which = along.indexOf(axis);
    const shift: number = which < 0 ? 0 : list[which];
    checkWhole("roll", "a shift", shift, a.shape);
    const by = size === 0 ? 0 : ((shift % size) + size) % size;
    const kept = { to: [by, size], from: [0, size - by] } as const;
    const wrapped = { to: [0, by], from: [size - by, size] } as const;
    const halves = by === 0 ? [kept] : [kept, wrapped];
    blocks = blocks.flatMap(({ to, from }) =>
      halves.map((half) => ({ to: [...to, half.to], from: [...from, half.from] })),
    );
  }
  const out = NDArray.empty(a.shape, a);
  for (const { to, from } of blocks) {
    using part = a.slice(...from);
    out.set(to, part);
  }
  return out;
}

function checkWhole(operation: string, what: string, value: number, shape: Shape): void {
  if (Number.isSafeInteger(value)) return;
  throw new ShapeError(operation, `${what} must be an integer, not ${describe(value)}`, { shapes: [shape] });
}

/** What can be repeated: arrays and tensors. */
interface Stretchable<T> {
  readonly shape: Shape;
  reshape(shape: Shape): T;
  broadcastTo(shape: Shape): T;
}

/** The elements `repeats[i]` times along axis i, counted from the last; more repeats than axes add axes in front. */
export function repeat<T extends Stretchable<T>>(a: T, repeats: Shape): T {
  const counts = checkShape("repeat", repeats);
  const added = counts.length - a.shape.length;
  if (added < 0) {
    const problem = `takes a count for each of ${a.shape.length} axes, not ${counts.length}`;
    throw new ShapeError("repeat", problem, { shapes: [a.shape] });
  }
  const shape = [...new Array<number>(added).fill(1), ...a.shape];
  checkSize(
    "repeat",
    shape.map((size, i) => size * counts[i]!),
    [a.shape],
  );
  let out = a.reshape(shape);
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const count = counts[axis]!;
    if (count === 1) continue;
    const [before, after] = [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis))];
    shape[axis]! *= count;
    out = out.reshape([before, 1, after]).broadcastTo([before, count, after]).reshape(shape);
  }
  return out;
}
