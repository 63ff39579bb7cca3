/**
 * Comparing and choosing, element by element, with NumPy broadcasting. Comparisons give 1 or 0 as int32, and no
 * gradient flows through them; those that choose pass the gradient to what they chose.
 */
import { record } from "../autograd/record.ts";
import { Tensor, tensor } from "../autograd/tensor.ts";
import { binary, combine, compare, unary, where as choose } from "../ndarray/arithmetic.ts";
import { isInt32 } from "../ndarray/dtype.ts";
import type { NDArray } from "../ndarray/ndarray.ts";
import { tidy } from "../ndarray/scope.ts";
import { type Operand, tensorFirst } from "./elementwise.ts";
import { checkNumber, checkTensor, unbroadcast } from "./support.ts";

/** Each comparison, and the one that holds when the sides are swapped. */
const SWAPPED = {
  equal: "equal",
  notEqual: "notEqual",
  less: "greater",
  lessEqual: "greaterEqual",
  greater: "less",
  greaterEqual: "lessEqual",
} as const;

const dataOf = (operand: Operand): NDArray | number => (typeof operand === "number" ? operand : operand.data);

function comparison(name: keyof typeof SWAPPED): (a: Operand, b: Operand) => Tensor {
  return (a, b) => {
    const [first, second] = tensorFirst(name, a, b);
    const op = typeof a === "number" ? SWAPPED[name] : name;
    return new Tensor(compare(op, first.data, dataOf(second)));
  };
}

/** 1 where a = b, else 0. */
export const equal = comparison("equal");
/** 1 where a ≠ b, else 0. NaN differs from everything, so `notEqual(a, a)` finds it. */
export const notEqual = comparison("notEqual");
/** 1 where a < b, else 0. */
export const less = comparison("less");
/** 1 where a ≤ b, else 0. */
export const lessEqual = comparison("lessEqual");
/** 1 where a > b, else 0. */
export const greater = comparison("greater");
/** 1 where a ≥ b, else 0. */
export const greaterEqual = comparison("greaterEqual");

/** int32: 1 where a is NaN, else 0. */
export function isNaN(a: Tensor): Tensor {
  checkTensor("isNaN", a);
  return new Tensor(a.data.isNaN());
}

/** int32: 1 where a is neither infinite nor NaN, else 0. */
export function isFinite(a: Tensor): Tensor {
  checkTensor("isFinite", a);
  return new Tensor(a.data.isFinite());
}

/** The larger or smaller of two. The gradient is chosen, not multiplied, where one gets all of it: it may be infinite. */
function extreme(name: "maximum" | "minimum"): (a: Operand, b: Operand) => Tensor {
  /** The gradient of x, whose other operand is y. */
  const partOf = (g: NDArray, x: NDArray, y: NDArray): NDArray => {
    const share = name === "maximum" ? binary("maximumBackward", x, y) : binary("maximumBackward", y, x);
    return unbroadcast(choose(share, binary("mul", share, g), 0), x.shape);
  };
  const operation = (a: Operand, b: Operand): Tensor => {
    const [left, operand] = tensorFirst(name, a, b);
    if (typeof operand === "number") {
      const dtype = isInt32(operand) ? left.dtype : "float32";
      return tidy(() => operation(left, tensor(operand, { device: left.device, dtype })));
    }
    const operands = [left.data, operand.data] as const;
    return record(name, combine(name, ...operands), [left, operand], operands, (g, { saved: [x, y], needs }) => [
      needs[0] ? partOf(g, x, y) : null,
      needs[1] ? partOf(g, y, x) : null,
    ]);
  };
  return operation;
}

/** The larger of a and b; NaN where either is. Where they are equal each gets half of the gradient, where one is NaN both all of it. */
export const maximum = extreme("maximum");
/** The smaller of a and b; NaN where either is. The gradient is as {@link maximum}'s. */
export const minimum = extreme("minimum");

/**
 * a, but at least `min` and at most `max`. The gradient is 0 where a lies outside.
 * @param max for a lower bound alone, Infinity; for an upper one alone `min` is -Infinity.
 */
export function clamp(a: Tensor, min: number, max = Infinity): Tensor {
  checkTensor("clamp", a);
  checkNumber("clamp", "min", min);
  checkNumber("clamp", "max", max, min);
  if (a.dtype === "int32") [min, max] = [min < -(2 ** 31) ? -Infinity : min, max > 2 ** 31 - 1 ? Infinity : max];
  using raised = min === -Infinity ? a.data.alias() : unary("maximumScalar", a.data, min);
  const y = max === Infinity ? raised.alias() : unary("minimumScalar", raised, max, { reuse: true });
  return record("clamp", y, [a], [a.data, y], (g, { saved: [x, bounded] }) => [
    choose(binary("equal", x, bounded), g, 0),
  ]);
}

/** a where `condition` is not zero, b elsewhere. No gradient flows to the condition. */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  checkTensor("where", condition, "the condition");
  for (const side of [a, b]) if (typeof side !== "number") checkTensor("where", side);
  const inputs = [a, b].map((side) => (typeof side === "number" ? null : side));
  const shapes = inputs.map((input) => input?.shape ?? []);
  const y = choose(condition.data, dataOf(a), dataOf(b));
  return record("where", y, inputs, [condition.data], (g, { saved: [mask], needs }) => [
    needs[0] ? unbroadcast(choose(mask, g, 0), shapes[0]!) : null,
    needs[1] ? unbroadcast(choose(mask, 0, g), shapes[1]!) : null,
  ]);
}
