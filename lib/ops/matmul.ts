/** Matrix products. */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ShapeError } from "../native/errors.ts";
import { reduce } from "../ndarray/arithmetic.ts";
import { matmul as product, vectorProduct } from "../ndarray/matmul.ts";
import type { Shape } from "../ndarray/layout.ts";
import type { NDArray } from "../ndarray/ndarray.ts";
import { sameDevice } from "../ndarray/operands.ts";
import { tidy } from "../ndarray/scope.ts";
import { mul } from "./elementwise.ts";
import { unsqueeze } from "./shape.ts";
import { checkFloat, checkShapeIs, checkTensor, contiguous, factors, unbroadcast } from "./support.ts";

/**
 * The matrix product over the last two axes, (…, m, k) · (…, k, n) = (…, m, n), with broadcast batch axes; a vector is
 * a row on the left and a column on the right. Gradients: g · bᵀ and aᵀ · g.
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
  checkFloat("matmul", a);
  checkFloat("matmul", b);
  if (a.ndim === 1 || b.ndim === 1) return tidy(() => vectorProduct(a, b, matmul));
  const [m, n] = [a.shape, b.shape];
  return record("matmul", product(a.data, b.data), [a, b], factors(a, b), (g, { saved: [x, y], needs }) => [
    needs[0] ? unbroadcast(product(g, y.transpose()), m) : null,
    needs[1] ? weightGradient(x, g, n) : null,
  ]);
}

/** The products of each element of a vector with each of another: out[i][j] = a[i] · b[j]. */
export function outer(a: Tensor, b: Tensor): Tensor {
  checkTensor("outer", a);
  checkTensor("outer", b);
  if (a.ndim !== 1 || b.ndim !== 1) throw new ShapeError("outer", "takes two vectors", { shapes: [a.shape, b.shape] });
  return tidy(() => mul(unsqueeze(a, 1), b));
}

/** xᵀ · g, summed over the batch axes that the weight's `shape` lacks: one product over all rows when it has none. */
function weightGradient(x: NDArray, g: NDArray, shape: Shape): NDArray {
  if (shape.length > 2 || x.ndim === 2) return unbroadcast(product(x.transpose(), g), shape);
  const rows = x.shape.slice(0, -1).reduce((m, n) => m * n, 1);
  return product(x.reshape([rows, x.shape.at(-1)!]).transpose(), g.reshape([rows, g.shape.at(-1)!]));
}

/** x · weight + bias: x (…, in), weight (in, out), bias (out) or none. The bias is added as the product is written. */
export function linear(x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  checkFloat("linear", x);
  checkFloat("linear", weight, "the weight");
  if (weight.ndim === 2 && x.ndim > 0 && x.shape.at(-1) !== weight.shape[0]) {
    const problem = `the input has ${x.shape.at(-1)} features, and the weight takes ${weight.shape[0]}`;
    throw new ShapeError("linear", problem, { shapes: [x.shape, weight.shape] });
  }
  if (bias === null) return matmul(x, weight);
  checkFloat("linear", bias, "the bias");
  checkShapeIs("linear", "the bias", bias, [weight.shape[1] ?? 0]);
  sameDevice("linear", x.data, bias.data);
  if (x.ndim < 2 || weight.ndim !== 2) return tidy(() => matmul(x, weight).add(bias));
  const y = product(x.data, weight.data, contiguous(bias.data));
  return record("linear", y, [x, weight, bias], factors(x, weight), (g, { saved: [input, w], needs }) => [
    needs[0] ? product(g, w.transpose()) : null,
    needs[1] ? weightGradient(input, g, weight.shape) : null,
    needs[2] ? reduce("sum", g, { axes: g.shape.slice(0, -1).map((_, i) => i) }) : null,
  ]);
}
