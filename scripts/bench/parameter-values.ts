import { fill } from "./fill.ts";

/**
 * The numbers that every contestant gives parameter i of a model, in the model's order, for its shape (k, k, in, out),
 * (in, out) or (n): weights are scaled by their fan-in.
 */
export function parameterValues(shape: readonly number[], i: number): Float32Array {
  const product = (sizes: readonly number[]) => sizes.reduce((m, n) => m * n, 1);
  const scale = shape.length === 1 ? 0.2 : 2 / Math.sqrt(product(shape.slice(0, -1)));
  return fill(product(shape), i, { scale });
}
