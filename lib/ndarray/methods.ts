/** Installs arithmetic as methods of NDArray: one-liners over arithmetic.ts and matmul.ts. */
import { ArgumentError, formatShape } from "../native/errors.ts";
import {
  type Axes,
  checkOperand,
  combine,
  compare,
  COMPARISONS,
  anyOrAll,
  isFinite,
  isNaN,
  mean,
  type Operand,
  pad,
  readReduction,
  reduce,
  type ReduceOptions,
  unary,
  where,
} from "./arithmetic.ts";
import { matmul, vectorProduct } from "./matmul.ts";
import type { Shape } from "./layout.ts";
import { NDArray } from "./ndarray.ts";
import { describe } from "./operands.ts";
import { repeat, roll, triangle } from "./rearrange.ts";
import { tidy } from "./scope.ts";

declare module "./ndarray.ts" {
  interface NDArray {
    /** this + other, an array that broadcasts, or a number. */
    add(other: Operand): NDArray;
    /** this - other. */
    sub(other: Operand): NDArray;
    /** this · other, element by element. */
    mul(other: Operand): NDArray;
    /** this / other, as float32. */
    div(other: Operand): NDArray;
    /** The larger of each pair. */
    maximum(other: Operand): NDArray;
    /** The smaller of each pair. */
    minimum(other: Operand): NDArray;
    /** int32: 1 where equal, else 0; so are the other comparisons. */
    equal(other: Operand): NDArray;
    notEqual(other: Operand): NDArray;
    less(other: Operand): NDArray;
    lessEqual(other: Operand): NDArray;
    greater(other: Operand): NDArray;
    greaterEqual(other: Operand): NDArray;
    /** int32: 1 where NaN, else 0. */
    isNaN(): NDArray;
    /** int32: 1 where neither infinite nor NaN, else 0. */
    isFinite(): NDArray;
    /** a where this array is not zero, b elsewhere: arrays that broadcast, or numbers. */
    where(a: Operand, b: Operand): NDArray;
    /** To the power of a number. */
    pow(exponent: number): NDArray;
    neg(): NDArray;
    exp(): NDArray;
    log(): NDArray;
    sqrt(): NDArray;
    sin(): NDArray;
    cos(): NDArray;
    tanh(): NDArray;
    floor(): NDArray;
    ceil(): NDArray;
    /** The nearest integer, of two the even one. */
    round(): NDArray;
    relu(): NDArray;
    sigmoid(): NDArray;
    abs(): NDArray;
    /** Over the axes, by default all: `sum(0)`, `sum({ axes: [0, 1], keepDims: true })`. */
    sum(options?: Axes | ReduceOptions): NDArray;
    /** The mean over the axes, as {@link sum}; NaN over no elements. */
    mean(options?: Axes | ReduceOptions): NDArray;
    /** The maximum over the axes, as {@link sum}. @throws ShapeError over no elements. */
    max(options?: Axes | ReduceOptions): NDArray;
    /** The minimum over the axes, as {@link sum}. @throws ShapeError over no elements. */
    min(options?: Axes | ReduceOptions): NDArray;
    /** log Σ exp over the axes, as {@link sum}. */
    logSumExp(options?: Axes | ReduceOptions): NDArray;
    /** int32 indices of the first maximum, counted row-major over the reduced axes. */
    argMax(options?: Axes | ReduceOptions): NDArray;
    /** int32 indices of the first minimum, counted row-major over the reduced axes. */
    argMin(options?: Axes | ReduceOptions): NDArray;
    /** int32: 1 where some element over the axes is not zero, else 0; 0 over no elements. */
    any(options?: Axes | ReduceOptions): NDArray;
    /** int32: 1 where no element over the axes is zero, else 0; 1 over no elements. */
    all(options?: Axes | ReduceOptions): NDArray;
    /** Matrix product over the last two axes, with broadcast batch axes; a vector is a row on the left, a column on the right. */
    matmul(other: NDArray): NDArray;
    /** Zeros around: [before, after] for each axis. */
    pad(widths: readonly (readonly [number, number])[]): NDArray;
    /** The lower triangle of the last two axes, up to a diagonal (positive: above the main one); zeros elsewhere. */
    tril(diagonal?: number): NDArray;
    /** The upper triangle of the last two axes, from a diagonal on. */
    triu(diagonal?: number): NDArray;
    /** Elements moved by `shifts` along the axes, and around their ends; without axes, in row-major order. */
    roll(shifts: number | readonly number[], axes?: number | readonly number[]): NDArray;
    /** The array `repeats[i]` times along axis i, as torch's `repeat` and NumPy's `tile`. */
    repeat(repeats: Shape): NDArray;
  }
}

for (const op of ["add", "sub", "mul", "div", "maximum", "minimum"] as const) {
  NDArray.prototype[op] = function (other) {
    return combine(op, this, other);
  };
}
for (const op of COMPARISONS) {
  NDArray.prototype[op] = function (other) {
    return compare(op, this, other);
  };
}
for (const op of ["neg", "exp", "log", "sqrt", "sin", "cos", "tanh", "relu", "sigmoid", "abs"] as const) {
  NDArray.prototype[op] = function () {
    return unary(op, this);
  };
}
for (const op of ["sum", "max", "min", "logSumExp", "argMax", "argMin"] as const) {
  NDArray.prototype[op] = function (options = {}) {
    return reduce(op, this, readReduction(op, options));
  };
}
for (const op of ["floor", "ceil", "round"] as const) {
  NDArray.prototype[op] = function () {
    return this.dtype === "int32" ? this.alias() : unary(op, this);
  };
}
NDArray.prototype.isNaN = function () {
  return isNaN(this);
};
NDArray.prototype.isFinite = function () {
  return isFinite(this);
};
for (const op of ["any", "all"] as const) {
  NDArray.prototype[op] = function (options = {}) {
    return anyOrAll(op, this, readReduction(op, options));
  };
}
NDArray.prototype.where = function (a, b) {
  return where(this, checkOperand("where", a), checkOperand("where", b));
};
NDArray.prototype.pow = function (exponent) {
  return unary("powScalar", this, exponent);
};
NDArray.prototype.mean = function (options = {}) {
  return mean(this, readReduction("mean", options));
};
NDArray.prototype.matmul = function (other) {
  if (!(other instanceof NDArray))
    throw new ArgumentError(
      "matmul",
      `the operand must be an array, not ${describe(other)}; this is ${formatShape(this.shape)}`,
    );
  return this.ndim === 1 || other.ndim === 1 ? tidy(() => vectorProduct(this, other, matmul)) : matmul(this, other);
};
NDArray.prototype.pad = function (widths) {
  return pad(this, widths);
};
for (const op of ["tril", "triu"] as const) {
  NDArray.prototype[op] = function (diagonal = 0) {
    return triangle(op, this, diagonal);
  };
}
NDArray.prototype.roll = function (shifts, axes) {
  return roll(this, shifts, axes);
};
NDArray.prototype.repeat = function (repeats) {
  return tidy(() => repeat(this, repeats));
};
