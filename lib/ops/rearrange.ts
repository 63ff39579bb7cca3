/** Copies with the elements elsewhere: triangles, rolls and repetitions. */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import type { Shape } from "../ndarray/layout.ts";
import { repeat as repeated } from "../ndarray/rearrange.ts";
import { tidy } from "../ndarray/scope.ts";
import { checkTensor } from "./support.ts";

/**
 * The lower triangle of the last two axes: what is on the diagonal (0 the main one, 1 the one above it) or below; zeros
 * elsewhere.
 */
export const tril = (a: Tensor, diagonal = 0): Tensor => triangle("tril", a, diagonal);
/** The upper triangle of the last two axes: what is on the diagonal or above; zeros elsewhere. */
export const triu = (a: Tensor, diagonal = 0): Tensor => triangle("triu", a, diagonal);

function triangle(name: "tril" | "triu", a: Tensor, diagonal: number): Tensor {
  checkTensor(name, a);
  return record(name, a.data[name](diagonal), [a], [], (g) => [g[name](diagonal)]);
}

/**
 * Elements moved by `shifts` towards the end of the axes; those that leave there enter at the start. Without axes they
 * move in row-major order. As torch.roll.
 */
export function roll(a: Tensor, shifts: number | readonly number[], axes?: number | readonly number[]): Tensor {
  checkTensor("roll", a);
  const y = a.data.roll(shifts, axes);
  const back = [shifts].flat().map((shift) => -shift); // copies: the caller may write into the lists before backward
  const along = axes === undefined ? undefined : [axes].flat();
  return record("roll", y, [a], [], (g) => [g.roll(back, along)]);
}

/**
 * The tensor `repeats[i]` times along axis i, as torch's `repeat` and NumPy's `tile`; more repeats than axes add axes in
 * front. A view, where only axes of size 1 are repeated. Gradient: summed over the repetitions.
 */
export function repeat(a: Tensor, repeats: Shape): Tensor {
  checkTensor("repeat", a);
  return tidy(() => repeated(a, repeats));
}
