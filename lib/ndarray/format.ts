/** Arrays as text, as `console.log` shows them: aligned columns, and the edges only of what is long. */
import type { DType, TypedArrayOf } from "./dtype.ts";
import type { Shape } from "./layout.ts";

/** Bun and Node ask an object for its text under this symbol. */
export const inspect: unique symbol = Symbol.for("nodejs.util.inspect.custom") as typeof inspect;

/** Elements, as many as NumPy and PyTorch write in full; of more, so many at each end of an axis. */
const SUMMARIZED_ABOVE = 1000;
const EDGE = 3;

/** The elements (row-major) in nested brackets. `indent` is the width of what stands before on the first line. */
export function formatElements(data: TypedArrayOf, shape: Shape, dtype: DType, indent = 0): string {
  if (data.length === 0) return "[]";
  const edge = data.length > SUMMARIZED_ABOVE ? EDGE : Infinity;
  const write = elementFormat(shown(data, shape, edge), dtype);
  const visit = (axis: number, start: number, size: number): string => {
    if (axis === shape.length) return write(data[start]!);
    const count = shape[axis]!;
    const step = count === 0 ? 0 : size / count;
    const last = axis === shape.length - 1;
    const items = edgeIndices(count, edge).map((i) => (i === null ? "…" : visit(axis + 1, start + i * step, step)));
    const lineBreak = `,${"\n".repeat(shape.length - 1 - axis)}${" ".repeat(indent + axis + 1)}`;
    return `[${items.join(last ? ", " : lineBreak)}]`;
  };
  return visit(0, 0, data.length);
}

/** 0 … count - 1, with null in place of all but the first and last `edge`. */
function edgeIndices(count: number, edge: number): (number | null)[] {
  if (count <= 2 * edge) return Array.from({ length: count }, (_, i) => i);
  const front = Array.from({ length: edge }, (_, i) => i);
  return [...front, null, ...front.map((i) => count - edge + i)];
}

/** The elements that will be written. */
function shown(data: TypedArrayOf, shape: Shape, edge: number): number[] {
  let starts = [0];
  let size = data.length;
  for (const count of shape) {
    const step = count === 0 ? 0 : size / count;
    starts = starts.flatMap((start) => edgeIndices(count, edge).flatMap((i) => (i === null ? [] : [start + i * step])));
    size = step;
  }
  return starts.map((i) => data[i]!);
}

/** One format for all elements: integers as they are, else four decimals, or exponents where those would not do. */
function elementFormat(values: readonly number[], dtype: DType): (value: number) => string {
  const sizes = values.filter((v) => Number.isFinite(v) && v !== 0).map(Math.abs);
  const largest = sizes.reduce((a, b) => Math.max(a, b), 0);
  const smallest = sizes.reduce((a, b) => Math.min(a, b), Infinity);
  let text: (value: number) => string;
  if (dtype === "int32") text = String;
  else if (largest < 1e8 && sizes.every(Number.isInteger)) text = (v) => (Number.isFinite(v) ? `${v}.` : String(v));
  else if (largest >= 1e5 || (smallest < 1e-4 && largest < 1)) text = (v) => v.toExponential(4);
  else text = (v) => (Number.isFinite(v) ? v.toFixed(4) : String(v));
  const width = values.reduce((most, v) => Math.max(most, text(v).length), 0);
  return (value) => text(value).padStart(width);
}
