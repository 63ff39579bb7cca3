/**
 * Layouts as native code takes them: {ndim, shape, strides of operand 0, strides of operand 1, …} in 32-bit integers.
 */
import { MAX_NDIM } from "../native/symbols.gen.ts";
import type { Shape } from "./layout.ts";

// One scratch array for all calls, on a buffer of its own: a small typed array would lie in the garbage-collected heap.
const scratch = new Int32Array(new ArrayBuffer(4 * (1 + 5 * MAX_NDIM)));

/** The layout of up to four operands, valid until the next call. */
export function pack(shape: Shape, first: Shape, second?: Shape, third?: Shape, fourth?: Shape): Int32Array {
  const ndim = shape.length;
  scratch[0] = ndim;
  for (let i = 0; i < ndim; i++) {
    scratch[1 + i] = shape[i]!;
    scratch[1 + ndim + i] = first[i]!;
    if (second !== undefined) scratch[1 + 2 * ndim + i] = second[i]!;
    if (third !== undefined) scratch[1 + 3 * ndim + i] = third[i]!;
    if (fourth !== undefined) scratch[1 + 4 * ndim + i] = fourth[i]!;
  }
  return scratch;
}
