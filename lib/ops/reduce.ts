/**
 * Reductions over axes: one, several, or (the default) all; `sum(a, 0)` is short for `sum(a, { axes: 0 })`. In
 * backward the gradient of the result is stretched back over the reduced axes as a view.
 */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import {
  type Axes,
  binary,
  mean as meanOf,
  readReduction,
  reduce,
  type ReduceOptions,
  unary,
} from "../ndarray/arithmetic.ts";
import { reducedAxes, type Shape } from "../ndarray/layout.ts";
import type { NDArray } from "../ndarray/ndarray.ts";
import { checkTensor, overGradient } from "./support.ts";

/** `array`, a reduction of an array of `shape`, with the reduced axes back as size 1. */
function keepDims(array: NDArray, shape: Shape, axes: readonly number[]): NDArray {
  return array.reshape(shape.map((n, i) => (axes.includes(i) ? 1 : n)));
}

/** The sum; 0 over no elements. That of int32 is int32, and wraps. */
export function sum(a: Tensor, options: Axes | ReduceOptions = {}): Tensor {
  checkTensor("sum", a);
  const reduction = readReduction("sum", options);
  const { shape } = a;
  const axes = reducedAxes("sum", reduction.axes, shape);
  return record("sum", reduce("sum", a.data, reduction), [a], [], (g) => [keepDims(g, shape, axes).broadcastTo(shape)]);
}

/** The mean; NaN over no elements. */
export function mean(a: Tensor, options: Axes | ReduceOptions = {}): Tensor {
  checkTensor("mean", a);
  const reduction = readReduction("mean", options);
  const { shape } = a;
  const axes = reducedAxes("mean", reduction.axes, shape);
  const count = axes.reduce((n, axis) => n * shape[axis]!, 1);
  return record("mean", meanOf(a.data, reduction), [a], [], (g) => [
    keepDims(unary("mulScalar", g, 1 / count, overGradient), shape, axes).broadcastTo(shape),
  ]);
}

/** The maximum. Elements that tie for it share the gradient equally, as PyTorch's `amax`. */
export function max(a: Tensor, options: Axes | ReduceOptions = {}): Tensor {
  checkTensor("max", a);
  const reduction = readReduction("max", options);
  const axes = reducedAxes("max", reduction.axes, a.shape);
  const y = reduce("max", a.data, reduction);
  return record("max", y, [a], [a.data, y], (g, { saved: [x, top] }) => {
    const winners = binary("equal", x, keepDims(top, x.shape, axes));
    const share = binary("div", keepDims(g, x.shape, axes), reduce("sum", winners, { axes, keepDims: true }));
    return [binary("mul", winners, share, 0, overGradient)];
  });
}

/** log Σ exp(a), computed without overflow. Gradient: g · softmax(a). */
export function logSumExp(a: Tensor, options: Axes | ReduceOptions = {}): Tensor {
  checkTensor("logSumExp", a);
  const reduction = readReduction("logSumExp", options);
  const axes = reducedAxes("logSumExp", reduction.axes, a.shape);
  const y = reduce("logSumExp", a.data, reduction);
  return record("logSumExp", y, [a], [a.data, y], (g, { saved: [x, total] }) => {
    const softmax = binary("expSub", x, keepDims(total, x.shape, axes));
    return [binary("mul", softmax, keepDims(g, x.shape, axes), 0, overGradient)];
  });
}
