/** Softmax along an axis, its logarithm, and the cross-entropy of logits against labels or probabilities. */
import { gradEnabled } from "../autograd/mode.ts";
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { isInt32 } from "../ndarray/dtype.ts";
import { checkAxis, sameShape } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { sameDevice } from "../ndarray/operands.ts";
import { checkOptions } from "../ndarray/options.ts";
import { tidy } from "../ndarray/scope.ts";
import { notEqual, where } from "./compare.ts";
import { add, div, mul, neg, sub } from "./elementwise.ts";
import { gatherAs, indexSelect } from "./gather.ts";
import { checkReduction, reduced, type Reduction } from "./loss.ts";
import { mean, sum } from "./reduce.ts";
import { reshape } from "./shape.ts";
import { checkFloat, checkIds, checkNumber, checkShapeIs, checkTensor, contiguous } from "./support.ts";

/** exp(a) / Σ exp(a) along an axis, computed without overflow. Gradient: y · (g - Σ g · y). */
export function softmax(a: Tensor, axis = -1): Tensor {
  return normalized("softmax", a, axis, 0);
}

/** a - logSumExp(a) along an axis. Gradient: g - softmax(a) · Σ g. */
export function logSoftmax(a: Tensor, axis = -1): Tensor {
  return normalized("logSoftmax", a, axis, 1);
}

function normalized(name: string, a: Tensor, axis: number, logOutput: 0 | 1): Tensor {
  checkFloat(name, a);
  if (a.ndim === 0) return tidy(() => normalized(name, a.reshape([1]), axis, logOutput).reshape([]));
  const at = checkAxis(name, axis, a.ndim, a.shape);
  const { backend } = a.device;
  return tidy(() => {
    const x = a.data.transpose(at, -1).compact();
    const cols = x.shape.at(-1)!;
    const rows = x.size === 0 ? 0 : x.size / cols;
    const y = NDArray.empty(x.shape, x);
    if (rows > 0) check(backend.th_softmax(y.pointer, x.pointer, rows, cols, logOutput), backend, name);
    return record(name, y.transpose(at, -1), [a], [y], (g, { saved: [output] }) => {
      const dy = contiguous(g.transpose(at, -1));
      const dx = dy.storage.exclusive ? dy : NDArray.empty(dy.shape, dy);
      if (rows > 0) {
        const status = backend.th_softmax_backward(dx.pointer, dy.pointer, output.pointer, rows, cols, logOutput);
        check(status, backend, name);
      }
      return [dx.transpose(at, -1)];
    });
  });
}

export interface CrossEntropyOptions {
  /** What becomes of the losses of the rows: default their mean, weighted if there are weights. "none": (N). */
  reduction?: Reduction | undefined;
  /** A label whose rows count for nothing: neither in the sum nor in the number of rows. Default none. */
  ignoreIndex?: number | undefined;
  /** ε in [0, 1], default 0: the label, or the probabilities, count 1 - ε, and each class ε / K (Szegedy et al., 2016). */
  labelSmoothing?: number | undefined;
  /**
   * A factor for each class, (K) float32, without gradient. The mean is divided by the sum of the labels' factors; of
   * probabilities by the number of rows.
   */
  weight?: Tensor | undefined;
}

/**
 * The mean over rows of -log softmax(logits)[label]: logits (N, K), labels (N) int32 in [0, K); a scalar. The options are
 * those of `torch.nn.functional.cross_entropy`. Without them the gradient is computed in the same pass, so backward only
 * scales it. A mean over rows that are all ignored, or have weight zero, is NaN.
 *
 * Labels (N, K) float32 are probabilities of the classes, as of a teacher (Hinton et al., 2015) or of mixed examples (Zhang et
 * al., 2018): the loss of a row is -Σ p · log softmax(logits), for p that need not add up to 1. They may have a gradient.
 * @throws ArgumentError for a label outside [0, K) that is not ignored, naming the row, and for an ignoreIndex of at
 * least 0 with probabilities.
 */
export function crossEntropy(logits: Tensor, labels: Tensor, options: CrossEntropyOptions = {}): Tensor {
  checkFloat("crossEntropy", logits, "the logits");
  checkTensor("crossEntropy", labels, "the labels");
  checkCrossEntropy("crossEntropy", options);
  const { reduction = "mean", ignoreIndex, labelSmoothing = 0, weight } = options;
  const shapes = [logits.shape, labels.shape];
  const [rows, cols] = logits.shape;
  const areProbabilities = labels.dtype === "float32" && labels.ndim !== 1;
  const expected = areProbabilities ? logits.shape : logits.shape.slice(0, 1);
  if (rows === undefined || cols === undefined || logits.ndim !== 2 || !sameShape(labels.shape, expected)) {
    const hint = areProbabilities
      ? 'Labels that are float32 are probabilities; numbers of classes are made with { dtype: "int32" }'
      : "Put all but the classes into one axis: logits.reshape([-1, K]), labels.reshape([-1])";
    const problem = `takes logits (N, K) and labels ${areProbabilities ? "(N, K) of float32" : "(N)"}`;
    throw new ShapeError("crossEntropy", problem, { shapes, hint });
  }
  if ((rows === 0 && reduction === "mean") || cols === 0)
    throw new ShapeError("crossEntropy", "there is no mean over no rows or classes", { shapes });
  if (weight !== undefined) {
    checkShapeIs("crossEntropy", "the weight", weight, [cols]);
    sameDevice("crossEntropy", logits.data, weight.data);
  }
  if (areProbabilities) {
    sameDevice("crossEntropy", logits.data, labels.data);
    if (ignoreIndex !== undefined && ignoreIndex >= 0)
      throw new ArgumentError("crossEntropy", `ignoreIndex ${ignoreIndex} is a label, and these are probabilities`);
    return ofProbabilities(logits, labels, options);
  }
  checkIds("crossEntropy", labels, logits, "labels");
  const isPlain = reduction === "mean" && ignoreIndex === undefined && labelSmoothing === 0 && weight === undefined;
  return isPlain ? fused(logits, labels) : composed(logits, labels, options);
}

/** Throws unless the options are valid for some logits. */
export function checkCrossEntropy(operation: string, options: CrossEntropyOptions): void {
  const known = ["reduction", "ignoreIndex", "labelSmoothing", "weight"] as const;
  const { reduction = "mean", ignoreIndex, labelSmoothing = 0, weight } = checkOptions(operation, options, known);
  checkReduction(operation, reduction);
  if (ignoreIndex !== undefined && !isInt32(ignoreIndex))
    throw new ArgumentError(operation, `ignoreIndex must be an int32 label, not ${String(ignoreIndex)}`);
  checkNumber(operation, "labelSmoothing", labelSmoothing, 0, 1);
  if (weight !== undefined) checkFloat(operation, weight, "the weight");
}

/** What to do about a label outside the classes. */
const LABEL_HINT = "If rows with that label are to be left out, give crossEntropy the option ignoreIndex";

/** One pass for the loss and the gradient of plain means. */
function fused(logits: Tensor, labels: Tensor): Tensor {
  const [rows, cols] = logits.shape as [number, number];
  const { backend } = logits.device;
  const x = logits.data.compact();
  const ids = labels.data.compact();
  const loss = NDArray.empty([], x);
  const dx = gradEnabled() && logits.requiresGrad ? NDArray.empty(x.shape, x) : null;
  const status = backend.th_cross_entropy(loss.pointer, dx?.pointer ?? null, x.pointer, ids.pointer, rows, cols);
  x.dispose();
  ids.dispose();
  check(status, backend, "crossEntropy", LABEL_HINT);
  const saved = dx === null ? [] : [dx];
  const result = record("crossEntropy", loss, [logits], saved, (g, { saved: [gradient] }) => {
    if (gradient === undefined) return [null];
    check(backend.th_scale(gradient.pointer, g.pointer, gradient.size), backend, "crossEntropy");
    return [gradient.alias()];
  });
  dx?.dispose(); // the tape has it now
  return result;
}

/** (1 - ε) · weight[label] · -log p[label] + ε / K · Σ weight · -log p of each row, zero where the label is ignored. */
function composed(
  logits: Tensor,
  labels: Tensor,
  { reduction = "mean", ignoreIndex, labelSmoothing = 0, weight }: CrossEntropyOptions,
): Tensor {
  const [rows, classes] = logits.shape as [number, number];
  return tidy(() => {
    const logP = logSoftmax(logits, 1);
    const counts = ignoreIndex === undefined ? null : notEqual(labels, ignoreIndex); // 1, or 0 for a row that is ignored
    const known = counts === null ? labels : mul(labels, counts);
    const factors = weight?.detach();
    const hint = ignoreIndex === undefined ? LABEL_HINT : undefined;
    const atLabel = reshape(gatherAs("crossEntropy", logP, 1, reshape(known, [rows, 1]), hint), [rows]);
    const factor = factors && indexSelect(factors, 0, known);
    let losses = neg(factor ? mul(atLabel, factor) : atLabel);
    if (labelSmoothing > 0) {
      const ofAll = sum(factors ? mul(logP, factors) : logP, 1);
      losses = sub(mul(losses, 1 - labelSmoothing), mul(ofAll, labelSmoothing / classes));
    }
    if (counts !== null) losses = where(counts, losses, 0); // chosen, not multiplied: a loss may be infinite
    if (reduction !== "mean") return reduced(losses, reduction);
    if (counts === null) return factor ? div(sum(losses), sum(factor)) : mean(losses);
    return div(sum(losses), sum(factor ? mul(factor, counts) : counts));
  });
}

/** -Σ weight · ((1 - ε) · p + ε / K) · log softmax(logits) of each row. */
function ofProbabilities(
  logits: Tensor,
  p: Tensor,
  { reduction = "mean", labelSmoothing = 0, weight }: CrossEntropyOptions,
): Tensor {
  const [rows, classes] = logits.shape as [number, number];
  return tidy(() => {
    const smoothed = labelSmoothing === 0 ? p : add(mul(p, 1 - labelSmoothing), labelSmoothing / classes);
    const products = mul(logSoftmax(logits, 1), weight ? mul(smoothed, weight.detach()) : smoothed);
    if (reduction === "none") return neg(sum(products, 1));
    return mul(sum(products), reduction === "sum" ? -1 : -1 / rows);
  });
}
