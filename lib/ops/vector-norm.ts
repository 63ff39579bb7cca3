/** Norms of vectors, which lie along axes, and the angle between two. */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, ShapeError } from "../native/errors.ts";
import { type Axes, binary, isAxes, reduce, type ReduceOptions, unary, where } from "../ndarray/arithmetic.ts";
import { broadcastShapes, checkAxis, reducedAxes, sameShape } from "../ndarray/layout.ts";
import type { NDArray } from "../ndarray/ndarray.ts";
import { describe, sameDevice } from "../ndarray/operands.ts";
import { checkFlag, checkOptions } from "../ndarray/options.ts";
import { tidy } from "../ndarray/scope.ts";
import { broadcastTo } from "./shape.ts";
import { checkFloat, checkNumber, overGradient } from "./support.ts";

export interface NormOptions extends ReduceOptions {
  /** The order: 1, 2 (the default), Infinity, or any other number above 0. */
  p?: number | undefined;
}

/**
 * The p-norm over the axes, by default all: (Σ |a|^p)^(1/p), and the largest |a| for p = Infinity; 0 over no elements.
 * Gradient: 0 where all elements are 0; those that tie for the largest share it equally. As torch.linalg.vector_norm.
 */
export function norm(a: Tensor, options: Axes | NormOptions = {}): Tensor {
  checkFloat("norm", a);
  const given: NormOptions = isAxes(options) ? { axes: options } : options;
  const { p: order = 2, ...reduction } = checkOptions("norm", given, ["p", "axes", "keepDims"]);
  checkFlag("norm", "keepDims", reduction.keepDims);
  if (typeof order !== "number" || !(order >= 2 ** -126))
    throw new ArgumentError("norm", `p must be a number above 0 of float32, or Infinity, not ${describe(order)}`);
  const p = Math.fround(order) === Infinity ? Infinity : order;
  const axes = reducedAxes("norm", reduction.axes, a.shape);
  if (
    p === Infinity &&
    axes.some((axis) => a.shape[axis] === 0) &&
    !a.shape.some((n, i) => n === 0 && !axes.includes(i))
  )
    throw new ShapeError("norm", "there is no largest of no elements", { shapes: [a.shape] });
  const y = tidy(() => normOf(a.data, p, reduction));
  return record("norm", y, [a], [a.data, y], (g, { saved: [x, length] }) => {
    const inner = (array: NDArray) => array.reshape(x.shape.map((n, i) => (axes.includes(i) ? 1 : n)));
    return [slopeOf(x, inner(length), inner(g), p, axes)];
  });
}

function normOf(x: NDArray, p: number, reduction: ReduceOptions): NDArray {
  if (p === 2) return unary("sqrt", reduce("sum", binary("mul", x, x), reduction), 0, overGradient);
  const sizes = unary("abs", x);
  if (p === Infinity) return reduce("max", sizes, reduction);
  if (p === 1) return reduce("sum", sizes, reduction);
  const total = reduce("sum", unary("powScalar", sizes, p, overGradient), reduction);
  return unary("powScalar", total, 1 / p, overGradient);
}

/** The gradient: g · x |x|^(p - 2) / y^(p - 1), where y and g have size 1 along the axes. */
function slopeOf(x: NDArray, y: NDArray, g: NDArray, p: number, axes: readonly number[]): NDArray {
  if (p === 1) return binary("absBackward", g, x);
  if (p === 2) return binary("mul", x, where(y, binary("div", g, y), 0));
  const sizes = unary("abs", x);
  if (p === Infinity) {
    const largest = binary("equal", sizes, y, 0, overGradient);
    const share = binary("div", g, reduce("sum", largest, { axes, keepDims: true }));
    return binary("absBackward", binary("mul", largest, share, 0, overGradient), x, 0, overGradient);
  }
  const powers = unary("powScalar", sizes, p - 1, overGradient);
  const scale = where(y, binary("mul", g, unary("powScalar", y, 1 - p)), 0);
  return where(x, binary("absBackward", binary("mul", powers, scale, 0, overGradient), x, 0, overGradient), 0);
}

export interface CosineSimilarityOptions {
  /** Default 1, as PyTorch's. */
  axis?: number | undefined;
  /** The least length that is divided by. Default 1e-8. */
  eps?: number | undefined;
}

/**
 * The cosine of the angle between vectors along an axis, which the result lacks: a · b / (max(|a|, eps) · max(|b|, eps)).
 * The operands broadcast.
 */
export function cosineSimilarity(a: Tensor, b: Tensor, options: CosineSimilarityOptions = {}): Tensor {
  const { axis = 1, eps = 1e-8 } = checkOptions("cosineSimilarity", options, ["axis", "eps"]);
  checkFloat("cosineSimilarity", a);
  checkFloat("cosineSimilarity", b);
  checkNumber("cosineSimilarity", "eps", eps, 0);
  sameDevice("cosineSimilarity", a.data, b.data);
  const shape = broadcastShapes("cosineSimilarity", a.shape, b.shape);
  const axes = checkAxis("cosineSimilarity", axis, shape.length, shape);
  return tidy(() => {
    const [x, y] = [a, b].map((side) => (sameShape(side.shape, shape) ? side : broadcastTo(side, shape))) as [Tensor, Tensor]; // prettier-ignore
    const along = (u: NDArray, v: NDArray) => reduce("sum", binary("mul", u, v), { axes, keepDims: true });
    const inverse = (u: NDArray) =>
      unary("rdivScalar", unary("maximumScalar", unary("sqrt", along(u, u), 0, overGradient), eps, overGradient), 1);
    const [p, q] = [inverse(x.data), inverse(y.data)];
    const both = binary("mul", p, q);
    const cosine = binary("mul", along(x.data, y.data), both);
    // Of x: g · (y · pq - x · cos · p²).
    const result = cosine.squeeze(axes);
    return record("cosineSimilarity", result, [x, y], [x.data, y.data, p, q, both, cosine], (g, { saved, needs }) => {
      const [u, v, pu, pv, puv, c] = saved;
      const wide = g.unsqueeze(axes);
      const cross = binary("mul", wide, puv);
      const turn = binary("mul", wide, c);
      const slope = (own: NDArray, other: NDArray, scale: NDArray) =>
        binary("sub", binary("mul", other, cross), binary("mul", own, binary("mul", turn, binary("mul", scale, scale))), 0, overGradient); // prettier-ignore
      return [needs[0] ? slope(u, v, pu) : null, needs[1] ? slope(v, u, pv) : null];
    });
  });
}
