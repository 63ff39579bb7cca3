/** Attention (Vaswani et al., 2017). */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { binary, reduce, unary, where } from "../ndarray/arithmetic.ts";
import type { Device } from "../ndarray/device.ts";
import { broadcastShapes, sameShape, type Shape } from "../ndarray/layout.ts";
import { matmul } from "../ndarray/matmul.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { sameDevice } from "../ndarray/operands.ts";
import { checkFlag, checkOptions } from "../ndarray/options.ts";
import { tidy } from "../ndarray/scope.ts";
import { dropper } from "./dropout.ts";
import { checkFloat, checkNumber, checkTensor, overGradient, unbroadcast } from "./support.ts";

const NAME = "scaledDotProductAttention";

export interface AttentionOptions {
  /**
   * Of a shape that broadcasts to (…, L, S). int32: a query attends to the keys whose element is not 0, as with PyTorch's
   * boolean mask; float32: added to the scores, and may have a gradient. Default: none.
   */
  mask?: Tensor | null | undefined;
  /**
   * Query i attends to keys 0 to i alone, counted from the first key where L and S differ, as PyTorch's. With a mask too,
   * both hold. Default false.
   */
  causal?: boolean | undefined;
  /** Probability that a weight is zeroed, the others being scaled by 1 / (1 - dropout): 0, the default, in inference. */
  dropout?: number | undefined;
  /** Of the scores. Default 1 / √E. */
  scale?: number | undefined;
}

/**
 * softmax(scale · q · kᵀ + mask) · v, as PyTorch's: q (…, L, E), k (…, S, E) and v (…, S, Ev) give (…, L, Ev), with
 * broadcast batch axes. A query that may attend to no key gives zeros, and no gradient.
 */
export function scaledDotProductAttention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  checkOptions(NAME, options, ["mask", "causal", "dropout", "scale"]);
  const { mask = null, causal = false, dropout: p = 0 } = options;
  checkFlag(NAME, "causal", causal);
  const shape = scoresShape(q, k, v);
  if (mask !== null) checkMask(mask, q, shape);
  checkNumber(NAME, "dropout", p, 0, 1);
  const scale = options.scale ?? 1 / Math.sqrt(q.shape.at(-1)!);
  checkNumber(NAME, "scale", scale);

  return tidy(() => {
    const query = unary("mulScalar", q.data, scale); // it is smaller than the scores
    const { bias, blind } = readMask(mask, causal, shape, q.device);
    const scores = matmul(query, k.data.transpose());
    const weights = bias === null ? scores : binary("add", scores, bias, 0, { reuse: true });
    softmaxInPlace(weights);
    // Which weights stay is a function of the stream: backward drops them again, and does not keep both.
    const dropped = p > 0 ? dropper(NAME, p) : (x: NDArray) => x;
    const y = hide(matmul(dropped(weights), v.data), blind);

    const inputs = [q, k, v, mask?.dtype === "float32" ? mask : null];
    const saved = [query, k.data, v.data, weights, ...(blind === null ? [] : [blind])] as const;
    return record(NAME, y, inputs, saved, (g, { saved: [queries, keys, values, w, unseeing = null], needs }) => {
      const given = hide(g, unseeing);
      const toValues = needs[2] ? unbroadcast(matmul(dropped(w).transpose(), given), values.shape) : null;
      if (!needs[0] && !needs[1] && !needs[3]) return [null, null, toValues, null];
      // v may have batch axes that the scores lack.
      const toScores = unbroadcast(dropped(matmul(given, values.transpose())), w.shape);
      softmaxBackwardInPlace(toScores, w);
      return [
        needs[0] ? unary("mulScalar", unbroadcast(matmul(toScores, keys), queries.shape), scale, overGradient) : null,
        needs[1] ? unbroadcast(matmul(toScores.transpose(), queries), keys.shape) : null,
        toValues,
        needs[3] ? unbroadcast(toScores, mask!.shape) : null,
      ];
    });
  });
}

/** The shape (…, L, S) of the scores. Throws unless the operands fit. */
function scoresShape(q: Tensor, k: Tensor, v: Tensor): Shape {
  for (const [what, operand] of Object.entries({ q, k, v })) checkFloat(NAME, operand, what);
  const shapes = [q.shape, k.shape, v.shape];
  sameDevice(NAME, q.data, k.data);
  sameDevice(NAME, q.data, v.data);
  const [length, features, count] = [q.shape.at(-2), q.shape.at(-1), k.shape.at(-2)];
  const fits = features === k.shape.at(-1) && count === v.shape.at(-2);
  if (length === undefined || count === undefined || v.ndim < 2 || !fits)
    throw new ShapeError(NAME, "takes q (…, L, E), k (…, S, E) and v (…, S, Ev)", { shapes });
  const batch = broadcastShapes(NAME, q.shape.slice(0, -2), k.shape.slice(0, -2), shapes);
  broadcastShapes(NAME, batch, v.shape.slice(0, -2), shapes);
  return [...batch, length, count];
}

function checkMask(mask: Tensor, q: Tensor, scores: Shape): void {
  checkTensor(NAME, mask, "the mask");
  sameDevice(NAME, q.data, mask.data);
  const shapes = [mask.shape, scores];
  if (!sameShape(broadcastShapes(NAME, mask.shape, scores), scores))
    throw new ShapeError(NAME, "the mask must broadcast to the scores (…, L, S), and has more", { shapes });
}

/**
 * What is added to the scores: 0 and -Infinity, or the user's own; and 1 for each query that may attend to no key, whose
 * row of the bias is 0 instead, since a softmax of nothing but -Infinity is NaN.
 */
function readMask(mask: Tensor | null, causal: boolean, scores: Shape, device: Device) {
  const [length, count] = [scores.at(-2)!, scores.at(-1)!];
  const future = causal ? futureKeys(length, count, device) : null;
  if (mask === null || mask.size === 0 || count === 0) return { bias: future, blind: null }; // each sees the first key
  const given = mask.dtype === "int32" ? where(mask.data, 0, -Infinity) : mask.data;
  const bias = future === null ? given : binary("add", given, future);
  const blind = unary("equalScalar", reduce("max", bias, { axes: -1, keepDims: true }), -Infinity);
  return { bias: hide(bias, blind), blind };
}

/** (L, S): -Infinity where the key comes after the query, else 0. */
function futureKeys(length: number, count: number, device: Device): NDArray {
  const places = (n: number) => Int32Array.from({ length: n }, (_, i) => i);
  const queries = NDArray.from(places(length), { shape: [length, 1], device });
  return where(binary("greater", NDArray.from(places(count), { device }), queries), -Infinity, 0);
}

/** `x` with zeros in the rows that are `blind`. */
const hide = (x: NDArray, blind: NDArray | null): NDArray => (blind === null ? x : where(blind, 0, x));

function softmaxInPlace(x: NDArray): void {
  if (x.size === 0) return;
  const { backend } = x.device;
  const cols = x.shape.at(-1)!;
  check(backend.th_softmax(x.pointer, x.pointer, x.size / cols, cols, 0), backend, NAME);
}

function softmaxBackwardInPlace(g: NDArray, y: NDArray): void {
  if (g.size === 0) return;
  const { backend } = g.device;
  const cols = g.shape.at(-1)!;
  check(backend.th_softmax_backward(g.pointer, g.pointer, y.pointer, g.size / cols, cols, 0), backend, NAME);
}
