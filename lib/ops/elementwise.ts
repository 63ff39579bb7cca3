/**
 * Elementwise operations. Each is its forward kernel and, beside it, the gradient: g is the gradient of the result y,
 * x the operand. Shapes: any, with NumPy broadcasting for two operands.
 */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ArgumentError } from "../native/errors.ts";
import { binary, combine, unary } from "../ndarray/arithmetic.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { tidy } from "../ndarray/scope.ts";
import { checkFloat, checkNumber, checkTensor, factors, overGradient, unbroadcast } from "./support.ts";

type UnaryName =
  "neg" | "exp" | "log" | "sqrt" | "sin" | "cos" | "tanh" | "relu" | "sigmoid" | "abs" | "gelu" | "silu" | "softplus";

/** What each saves for its gradient, and the gradient from that. */
const GRADIENTS: Record<UnaryName, { saves: "x" | "y" | "none"; backward: (g: NDArray, saved: NDArray) => NDArray }> = {
  neg: { saves: "none", backward: (g) => unary("neg", g, 0, overGradient) }, // -g
  exp: { saves: "y", backward: (g, y) => binary("mul", g, y, 0, overGradient) }, // g · y
  log: { saves: "x", backward: (g, x) => binary("div", g, x, 0, overGradient) }, // g / x
  sqrt: { saves: "y", backward: (g, y) => binary("sqrtBackward", g, y, 0, overGradient) }, // g / 2y
  sin: { saves: "x", backward: (g, x) => binary("mul", g, unary("cos", x), 0, overGradient) }, // g · cos x
  cos: { saves: "x", backward: (g, x) => binary("mul", g, unary("sin", x)).neg() }, // -g · sin x
  tanh: { saves: "y", backward: (g, y) => binary("tanhBackward", g, y, 0, overGradient) }, // g · (1 - y²)
  relu: { saves: "y", backward: (g, y) => binary("reluBackward", g, y, 0, overGradient) }, // g where y > 0
  sigmoid: { saves: "y", backward: (g, y) => binary("sigmoidBackward", g, y, 0, overGradient) }, // g · y · (1 - y)
  abs: { saves: "x", backward: (g, x) => binary("absBackward", g, x, 0, overGradient) }, // g · sign x
  gelu: { saves: "x", backward: (g, x) => binary("geluBackward", g, x, 0, overGradient) }, // g · (Φ(x) + x · φ(x))
  silu: { saves: "x", backward: (g, x) => binary("siluBackward", g, x, 0, overGradient) }, // g · s · (1 + x · (1 - s))
  softplus: { saves: "x", backward: (g, x) => binary("softplusBackward", g, x, 0, overGradient) }, // g · sigmoid(x)
};

function elementwise(name: UnaryName): (a: Tensor) => Tensor {
  const { saves, backward } = GRADIENTS[name];
  return (a) => {
    checkTensor(name, a);
    const y = unary(name, a.data);
    const saved = saves === "x" ? [a.data] : saves === "y" ? [y] : [];
    return record(name, y, [a], saved, (g, { saved: [array] }) => [backward(g, array ?? g)]);
  };
}

/** -a. */
export const neg = elementwise("neg");
/** e to the power of a. */
export const exp = elementwise("exp");
/** The natural logarithm; -Infinity at 0, NaN below. */
export const log = elementwise("log");
export const sqrt = elementwise("sqrt");
/** The sine of an angle in radians. */
export const sin = elementwise("sin");
/** The cosine of an angle in radians. */
export const cos = elementwise("cos");
export const tanh = elementwise("tanh");
/** max(a, 0), with gradient 0 at 0. */
export const relu = elementwise("relu");
/** 1 / (1 + exp(-a)). */
export const sigmoid = elementwise("sigmoid");
/** |a|, with gradient 0 at 0 and at NaN. */
export const abs = elementwise("abs");
/** a · Φ(a), Φ the normal distribution (Hendrycks and Gimpel, 2016): exact, not the approximation by tanh. */
export const gelu = elementwise("gelu");
/** a · sigmoid(a), also called swish. */
export const silu = elementwise("silu");
/** log(1 + exp(a)), computed without overflow. */
export const softplus = elementwise("softplus");

function rounding(name: "floor" | "ceil" | "round"): (a: Tensor) => Tensor {
  return (a) => {
    checkTensor(name, a);
    return record(name, a.data[name](), [a], [], (g) => [NDArray.zeros(g.shape, g)]);
  };
}

/** The largest integer of at most a; its gradient, and that of the two below, is 0. */
export const floor = rounding("floor");
/** The smallest integer of at least a. */
export const ceil = rounding("ceil");
/** The nearest integer, of two the even one. */
export const round = rounding("round");

/** a where it is positive, else a times `slope`. */
export function leakyRelu(a: Tensor, slope = 0.01): Tensor {
  checkTensor("leakyRelu", a);
  checkNumber("leakyRelu", "the slope", slope);
  return record("leakyRelu", unary("leakyRelu", a.data, slope), [a], [a.data], (g, { saved: [x] }) => [
    binary("leakyReluBackward", g, x, slope, overGradient),
  ]);
}

/** A tensor, or a number for all its elements. */
export type Operand = Tensor | number;

/** The operands with a tensor in front, for operations that commute. Throws unless one is a tensor. */
export function tensorFirst(name: string, a: Operand, b: Operand): [Tensor, Operand] {
  const [first, second] = typeof a === "number" ? [b, a] : [a, b];
  if (typeof first === "number") {
    throw new ArgumentError(name, `one operand must be a Tensor, and both are numbers: ${String(a)} and ${String(b)}`);
  }
  checkTensor(name, first);
  if (typeof second !== "number") checkTensor(name, second);
  return [first, second];
}

/** a + b. */
export function add(a: Operand, b: Operand): Tensor {
  const [x, y] = tensorFirst("add", a, b);
  if (typeof y === "number") return record("add", combine("add", x.data, y), [x], [], (g) => [g]);
  const [m, n] = [x.shape, y.shape];
  return record("add", combine("add", x.data, y.data), [x, y], [], (g) => [unbroadcast(g, m), unbroadcast(g, n)]);
}

/** a - b. */
export function sub(a: Operand, b: Operand): Tensor {
  const [x] = tensorFirst("sub", a, b);
  if (typeof b === "number") return record("sub", combine("sub", x.data, b), [x], [], (g) => [g]);
  if (typeof a === "number") {
    return record("sub", unary("rsubScalar", x.data, a), [x], [], (g) => [unary("neg", g, 0, overGradient)]);
  }
  const [m, n] = [a.shape, b.shape];
  return record("sub", combine("sub", a.data, b.data), [a, b], [], (g, { needs }) => [
    unbroadcast(g, m),
    needs[1] ? unary("neg", unbroadcast(g, n)) : null,
  ]);
}

/** a · b, element by element. */
export function mul(a: Operand, b: Operand): Tensor {
  const [left, right] = tensorFirst("mul", a, b);
  if (typeof right === "number") {
    return record("mul", combine("mul", left.data, right), [left], [], (g) => [
      unary("mulScalar", g, right, overGradient),
    ]);
  }
  const [m, n] = [left.shape, right.shape];
  const y = combine("mul", left.data, right.data);
  return record("mul", y, [left, right], factors(left, right), (g, { saved: [first, second], needs }) => [
    needs[0] ? unbroadcast(binary("mul", g, second), m) : null,
    needs[1] ? unbroadcast(binary("mul", g, first), n) : null,
  ]);
}

/** The gradient of a quotient's divisor: -g · (quotient / divisor), which fits where the result does. */
function divisorGradient(g: NDArray, divisor: NDArray, quotient: NDArray): NDArray {
  return binary("mul", binary("div", quotient, divisor), g).neg();
}

/** a / b. */
export function div(a: Operand, b: Operand): Tensor {
  const [known] = tensorFirst("div", a, b);
  if (typeof b === "number") {
    return record("div", combine("div", known.data, b), [known], [], (g) => [unary("divScalar", g, b, overGradient)]);
  }
  if (typeof a === "number") {
    const y = unary("rdivScalar", b.data, a);
    return record("div", y, [b], [b.data, y], (g, { saved: [divisor, quotient] }) => [
      divisorGradient(g, divisor, quotient),
    ]);
  }
  const { shape } = a;
  const y = combine("div", a.data, b.data);
  return record("div", y, [a, b], [b.data, y], (g, { saved: [divisor, quotient], needs }) => [
    needs[0] ? unbroadcast(binary("div", g, divisor), shape) : null,
    needs[1] ? unbroadcast(divisorGradient(g, divisor, quotient), divisor.shape) : null,
  ]);
}

/** a + weight · (b - a), as torch.lerp: a where the weight is 0, b where it is 1. The weight is a number, or a tensor. */
export function lerp(a: Tensor, b: Tensor, weight: Operand): Tensor {
  checkFloat("lerp", a);
  checkFloat("lerp", b);
  if (typeof weight !== "number") {
    checkFloat("lerp", weight, "the weight");
    return tidy(() => add(mul(a, sub(1, weight)), mul(b, weight))); // exact at both ends, however large the other is
  }
  checkNumber("lerp", "the weight", weight);
  const [m, n] = [a.shape, b.shape];
  return record("lerp", binary("lerp", a.data, b.data, weight), [a, b], [], (g, { needs }) => [
    needs[0] ? unary("mulScalar", unbroadcast(g, m), 1 - weight) : null,
    needs[1] ? unary("mulScalar", unbroadcast(g, n), weight) : null,
  ]);
}

/** a to the power of a number: gradient g · p · a^(p - 1). */
export function pow(a: Tensor, exponent: number): Tensor {
  checkTensor("pow", a);
  checkNumber("pow", "the exponent", exponent);
  return record("pow", unary("powScalar", a.data, exponent), [a], [a.data], (g, { saved: [x] }) => [
    binary("powBackward", g, x, exponent, overGradient),
  ]);
}
