/**
 * Reductions over axes: one, several, or (the default) all; `sum(a, 0)` is short for `sum(a, { axes: 0 })`. In
 * backward the gradient of the result is stretched back over the reduced axes as a view.
 */
import { record } from "../autograd/record.ts";
import { Tensor } from "../autograd/tensor.ts";
import {
  type Axes,
  binary,
  isAxes,
  mean as meanOf,
  readReduction,
  reduce,
  type ReduceOptions,
  unary,
  where,
} from "../ndarray/arithmetic.ts";
import { reducedAxes, type Shape } from "../ndarray/layout.ts";
import type { NDArray } from "../ndarray/ndarray.ts";
import { checkFlag, checkOptions } from "../ndarray/options.ts";
import { tidy } from "../ndarray/scope.ts";
import { partAt } from "../ndarray/views.ts";
import { add, mul } from "./elementwise.ts";
import { chunk, concat, reshape, slice } from "./shape.ts";
import { checkFloat, checkNumber, checkTensor, overGradient } from "./support.ts";

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
  return extreme("max", a, options);
}

/** The minimum. Elements that tie for it share the gradient equally, as PyTorch's `amin`. */
export function min(a: Tensor, options: Axes | ReduceOptions = {}): Tensor {
  return extreme("min", a, options);
}

function extreme(name: "max" | "min", a: Tensor, options: Axes | ReduceOptions): Tensor {
  checkTensor(name, a);
  const reduction = readReduction(name, options);
  const axes = reducedAxes(name, reduction.axes, a.shape);
  const y = reduce(name, a.data, reduction);
  return record(name, y, [a], [a.data, y], (g, { saved: [x, best] }) => {
    const winners = binary("equal", x, keepDims(best, x.shape, axes));
    const share = binary("div", keepDims(g, x.shape, axes), reduce("sum", winners, { axes, keepDims: true }));
    return [binary("mul", winners, share, 0, overGradient)];
  });
}

/** int32 indices of the first maximum (or first NaN), counted row-major over the reduced axes. They have no gradient. */
export function argMax(a: Tensor, options: Axes | ReduceOptions = {}): Tensor {
  checkTensor("argMax", a);
  return new Tensor(reduce("argMax", a.data, readReduction("argMax", options)));
}

/** int32 indices of the first minimum (or first NaN), counted row-major over the reduced axes. They have no gradient. */
export function argMin(a: Tensor, options: Axes | ReduceOptions = {}): Tensor {
  checkTensor("argMin", a);
  return new Tensor(reduce("argMin", a.data, readReduction("argMin", options)));
}

/** int32: 1 where some element is not zero, else 0; NaN is not zero. 0 over no elements. */
export function any(a: Tensor, options: Axes | ReduceOptions = {}): Tensor {
  checkTensor("any", a);
  return new Tensor(a.data.any(options));
}

/** int32: 1 where no element is zero, else 0; NaN is not zero. 1 over no elements. */
export function all(a: Tensor, options: Axes | ReduceOptions = {}): Tensor {
  checkTensor("all", a);
  return new Tensor(a.data.all(options));
}

export interface VarianceOptions extends ReduceOptions {
  /** Subtracted from the number of elements that squares are divided by. Default 1: the unbiased variance. */
  correction?: number | undefined;
}

/** Deviations from the mean, and the mean square of them, as `torch.var` has it. */
function deviations(name: string, a: Tensor, options: Axes | VarianceOptions) {
  checkFloat(name, a);
  const given: VarianceOptions = isAxes(options) ? { axes: options } : options;
  const { correction = 1, ...reduction } = checkOptions(name, given, ["axes", "keepDims", "correction"]);
  checkFlag(name, "keepDims", reduction.keepDims);
  checkNumber(name, "the correction", correction, 0);
  const reduced = reducedAxes(name, reduction.axes, a.shape);
  const count = reduced.reduce((n, axis) => n * a.shape[axis]!, 1);
  const scale = 1 / Math.max(0, count - correction);
  const center = meanOf(a.data, { axes: reduced, keepDims: true });
  const d = binary("sub", a.data, center);
  const squares = binary("mul", d, d);
  const y = reduce("sum", squares, reduction, scale);
  center.dispose();
  squares.dispose();
  return { axes: reduced, scale, d, y };
}

/**
 * The variance (`torch.var`; `var` is no name in JavaScript): Σ (a - mean)² / (n - correction), in two passes. NaN where
 * n is the correction, or zero. Gradient: g · 2 (a - mean) / (n - correction).
 */
export function variance(a: Tensor, options: Axes | VarianceOptions = {}): Tensor {
  const { axes, scale, d, y } = deviations("variance", a, options);
  const result = record("variance", y, [a], [d], (g, { saved: [deviation] }) => {
    const slope = unary("mulScalar", keepDims(g, deviation.shape, axes), 2 * scale);
    return [binary("mul", deviation, slope)];
  });
  d.dispose(); // the tape has it now
  return result;
}

/** The standard deviation, the root of {@link variance}. Its gradient is zero where it is zero, as PyTorch's. */
export function std(a: Tensor, options: Axes | VarianceOptions = {}): Tensor {
  const { axes, scale, d, y } = deviations("std", a, options);
  const root = unary("sqrt", y, 0, overGradient);
  const result = record("std", root, [a], [d, root], (g, { saved: [deviation, sigma] }) => {
    const slope = where(sigma, unary("mulScalar", binary("div", g, sigma), scale, overGradient), 0);
    return [binary("mul", deviation, keepDims(slope, deviation.shape, axes))];
  });
  d.dispose();
  y.dispose();
  return result;
}

/** The product; 1 over no elements. That of int32 is int32, and wraps. Gradient: right for elements that are 0 too. */
export function prod(a: Tensor, options: Axes | ReduceOptions = {}): Tensor {
  checkTensor("prod", a);
  const reduction = readReduction("prod", options);
  const { shape } = a;
  const axes = reducedAxes("prod", reduction.axes, shape);
  return tidy(() => {
    if (axes.some((axis) => shape[axis] === 0)) return add(sum(a, reduction), 1); // Σ of nothing is 0
    let product = a;
    for (const axis of axes) while (product.shape[axis]! > 1) product = multiplyHalves(product, axis);
    return reshape(product, reduction.keepDims ? product.shape : shape.filter((_, i) => !axes.includes(i)));
  });
}

/** The first half along an axis times the second one, and what is left in the middle. So no gradient divides by an element. */
function multiplyHalves(a: Tensor, axis: number): Tensor {
  const [first, second] = chunk(a, 2, axis) as [Tensor, Tensor];
  const half = second.shape[axis]!;
  if (first.shape[axis] === half) return mul(first, second);
  const [pair, last] = [partAt(axis, 0, half), partAt(axis, half, half + 1)];
  return concat([mul(slice(first, ...pair), second), slice(first, ...last)], axis);
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
