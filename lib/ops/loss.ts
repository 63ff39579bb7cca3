/** What losses are made of: elementwise losses with gradients of their own, and what becomes of their elements. */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, ShapeError } from "../native/errors.ts";
import type { Unary } from "../native/symbols.gen.ts";
import { binary, unary } from "../ndarray/arithmetic.ts";
import { broadcastShapes, sameShape } from "../ndarray/layout.ts";
import type { NDArray } from "../ndarray/ndarray.ts";
import { describe, sameDevice } from "../ndarray/operands.ts";
import { tidy } from "../ndarray/scope.ts";
import { mean, sum } from "./reduce.ts";
import { checkFloat, checkTensor, overGradient } from "./support.ts";

/** What a loss makes of its elements: their mean, their sum, or nothing. */
export type Reduction = "mean" | "sum" | "none";

const REDUCTIONS: readonly unknown[] = ["mean", "sum", "none"] satisfies Reduction[];

/** Throws unless `value` is a {@link Reduction}. */
export function checkReduction(operation: string, value: unknown): void {
  if (REDUCTIONS.includes(value)) return;
  const problem = `reduction must be "mean", "sum" or "none", not ${describe(value)}`;
  throw new ArgumentError(operation, problem);
}

/** The losses as the reduction has them. */
export function reduced(losses: Tensor, reduction: Reduction): Tensor {
  return reduction === "none" ? losses : reduction === "sum" ? sum(losses) : mean(losses);
}

/** Throws unless a loss can compare the two, element by element. */
export function checkSameShape(operation: string, prediction: Tensor, target: Tensor): void {
  checkFloat(operation, prediction, "the prediction");
  checkTensor(operation, target, "the target");
  sameDevice(operation, prediction.data, target.data);
  if (sameShape(prediction.shape, target.shape)) return;
  throw new ShapeError(operation, "the target must have the prediction's shape", {
    shapes: [prediction.shape, target.shape],
    hint: "A loss does not broadcast: reshape or stretch one of them",
  });
}

/** Operations with a number one after another, each over the result of the last one. */
function inTurn(x: NDArray, ...steps: readonly [op: Unary, p?: number][]): NDArray {
  return steps.reduce((y, [op, p]) => {
    const next = unary(op, y, p, overGradient);
    y.dispose();
    return next;
  }, x.alias()); // the second owner of x, which is therefore not written over
}

/** Half the square of each element up to |a| = delta, and beyond it the line that goes on from there (Huber, 1964). */
export function huber(a: Tensor, delta: number): Tensor {
  return record("huber", unary("huber", a.data, delta), [a], [a.data], (g, { saved: [x] }) => [
    binary("huberBackward", g, x, delta, overGradient),
  ]);
}

/** log(1 + e^(-|x|)), between 0 and log 2: what is left of log(1 + e^x) above max(x, 0). */
const softplusRest = (x: NDArray) => inTurn(x, ["abs"], ["neg"], ["softplus"]);

/**
 * -t · log σ(x) - (1 - t) · log(1 - σ(x)) of logits x and targets t of one shape, computed without overflow; the first term
 * times `posWeight`, which broadcasts to that shape and has no gradient. Gradient of x: σ(x) - t.
 */
export function binaryCrossEntropy(logits: Tensor, target: Tensor, posWeight: Tensor | null): Tensor {
  if (posWeight !== null) return weightedBinaryCrossEntropy(logits, target, posWeight);
  const y = tidy(() => {
    const known = binary("sub", unary("relu", logits.data), binary("mul", logits.data, target.data), 0, overGradient);
    return binary("add", softplusRest(logits.data), known, 0, overGradient);
  });
  const saved = [logits.data, target.data] as const;
  return record("binaryCrossEntropy", y, [logits, target], saved, (g, { saved: [x, t], needs }) => [
    needs[0] ? binary("mul", binary("sub", unary("sigmoid", x), t, 0, overGradient), g, 0, overGradient) : null,
    needs[1] ? unary("neg", binary("mul", g, x)) : null,
  ]);
}

/** (1 - t) · x + (1 + (p - 1) · t) · log(1 + e^-x) with p = posWeight. */
function weightedBinaryCrossEntropy(logits: Tensor, target: Tensor, posWeight: Tensor): Tensor {
  const factor = (t: NDArray, more: NDArray) => unary("addScalar", binary("mul", t, more), 1, overGradient);
  const negatives = (t: NDArray) => unary("rsubScalar", t, 1);
  const [y, more] = tidy(() => {
    const [x, t] = [logits.data, target.data];
    const over = unary("addScalar", posWeight.data, -1);
    const times = factor(t, over);
    // In this order, since (1 - t) · x and max(-x, 0) cancel exactly where t is 0.
    const linear = binary("mul", unary("relu", unary("neg", x), 0, overGradient), times, 0, overGradient);
    const known = binary("add", binary("mul", negatives(t), x, 0, overGradient), linear, 0, overGradient);
    const rest = binary("mul", softplusRest(x), times, 0, overGradient);
    return [binary("add", known, rest, 0, overGradient), over] as const;
  });
  const saved = [logits.data, target.data, more] as const;
  const result = record("binaryCrossEntropy", y, [logits, target], saved, (g, { saved: [x, t, over], needs }) => {
    const minus = unary("neg", x);
    return [
      needs[0]
        ? binary("mul", binary("sub", negatives(t), binary("mul", unary("sigmoid", minus), factor(t, over))), g)
        : null,
      needs[1]
        ? binary("mul", binary("sub", binary("mul", binary("add", unary("relu", minus), softplusRest(x)), over), x), g)
        : null,
    ];
  });
  more.dispose(); // the tape has it now
  return result;
}

/** Throws unless `posWeight` broadcasts to the shape of the logits. */
export function checkPosWeight(operation: string, logits: Tensor, posWeight: Tensor): void {
  sameDevice(operation, logits.data, posWeight.data);
  const shapes = [logits.shape, posWeight.shape];
  const shape = broadcastShapes(operation, logits.shape, posWeight.shape, shapes);
  if (!sameShape(shape, logits.shape))
    throw new ShapeError(operation, "posWeight must broadcast to the shape of the logits", { shapes });
}
