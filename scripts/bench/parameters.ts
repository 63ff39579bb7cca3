import type { Tensor } from "thimble";

import { fill } from "./fill.ts";

/** Gives parameter i, in the model's order, the numbers that every contestant gives it: weights scaled by their fan-in. */
export function setParameters(parameters: readonly Tensor[]): void {
  parameters.forEach((parameter, i) => parameter.set(parameterValues(parameter.shape, i)));
}

/** The same as numbers, for a parameter of that shape: (k, k, in, out), (in, out) or (n). */
export function parameterValues(shape: readonly number[], i: number): Float32Array {
  const fanIn = shape.slice(0, -1).reduce((m, n) => m * n, 1);
  const scale = shape.length === 1 ? 0.2 : 2 / Math.sqrt(fanIn);
  return fill(
    shape.reduce((m, n) => m * n, 1),
    i,
    { scale },
  );
}
