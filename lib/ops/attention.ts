/** Attention (Vaswani et al., 2017), without ever having all scores (Rabe and Staats, 2021; Dao et al., 2022). */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { Operand, MAX_NDIM } from "../native/symbols.gen.ts";
import { where } from "../ndarray/arithmetic.ts";
import { broadcastShapes, broadcastStrides, sameShape, type Shape } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { sameDevice } from "../ndarray/operands.ts";
import { checkFlag, checkOptions } from "../ndarray/options.ts";
import { defaultGenerator } from "../ndarray/random.ts";
import { tidy } from "../ndarray/scope.ts";
import { checkFloat, checkNumber, checkTensor, unbroadcast } from "./support.ts";

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
 * broadcast batch axes. A query that may attend to no key gives zeros, and no gradient. Memory grows with L, not with
 * L · S: backward computes the scores again. The result's axes lie in memory in the order of q's, so that heads which
 * are a transposed view of a layer's features are so again.
 */
export function scaledDotProductAttention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  checkOptions(NAME, options, ["mask", "causal", "dropout", "scale"]);
  const { mask = null, causal = false, dropout: p = 0 } = options;
  checkFlag(NAME, "causal", causal);
  const sizes = readSizes(q, k, v);
  if (mask !== null) checkMask(mask, q, sizes);
  checkNumber(NAME, "dropout", p, 0, 1);
  const scale = options.scale ?? 1 / Math.sqrt(sizes.features);
  checkNumber(NAME, "scale", scale);
  const { batch, length, keys, features, values } = sizes;
  const { backend } = q.device;

  return tidy(() => {
    const bias = mask === null ? null : rowsOf(mask.dtype === "int32" ? where(mask.data, 0, -Infinity) : mask.data);
    const operands: Operands = { q: rowsOf(q.data), k: rowsOf(k.data), v: rowsOf(v.data), bias };
    const { seed, stream } = p > 0 ? defaultGenerator.next() : { seed: 0, stream: 0 };
    const settings = [scale, p, seed, stream] as const;
    const y = emptyLike(operands.q, [...batch, length, values]);
    const statistics = NDArray.empty([2, ...batch, length], y);
    const call = [...pointersOf(operands), pack(sizes, causal, { ...operands, y }), ...settings] as const;
    check(backend.th_attention(y.pointer, statistics.pointer, ...call), backend, NAME);

    const added = mask?.dtype === "float32" ? mask : null;
    const saved = [operands.q, operands.k, operands.v, statistics, ...(bias === null ? [] : [bias])] as const;
    return record(NAME, y, [q, k, v, added], saved, (g, context) => {
      const [qs, ks, vs, kept, biases = null] = context.saved;
      const [toQ, toK, toV, toBias] = context.needs;
      const given: Operands = { q: qs, k: ks, v: vs, bias: biases };
      const dy = rowsOf(g);
      const dq = toQ ? emptyLike(qs, [...batch, length, features]) : null;
      const dk = toK ? emptyLike(ks, [...batch, keys, features]) : null;
      const dv = toV ? emptyLike(vs, [...batch, keys, values]) : null;
      const dscores = toBias ? NDArray.empty([...batch, length, keys], g) : null;
      const gradients = [pointerOf(dq), pointerOf(dk), pointerOf(dv), pointerOf(dscores)] as const;
      const again = [...pointersOf(given), pack(sizes, causal, { ...given, dy, dq, dk, dv }), ...settings] as const;
      check(backend.th_attention_backward(...gradients, dy.pointer, kept.pointer, ...again), backend, NAME);
      return [
        dq && unbroadcast(dq, qs.shape),
        dk && unbroadcast(dk, ks.shape),
        dv && unbroadcast(dv, vs.shape),
        dscores && unbroadcast(dscores, biases!.shape),
      ];
    });
  });
}

/** What both passes read. */
interface Operands {
  readonly q: NDArray;
  readonly k: NDArray;
  readonly v: NDArray;
  readonly bias: NDArray | null;
}

interface Sizes {
  readonly batch: Shape;
  /** L, S, E and Ev. */
  readonly length: number;
  readonly keys: number;
  readonly features: number;
  readonly values: number;
}

/** Throws unless the operands fit. */
function readSizes(q: Tensor, k: Tensor, v: Tensor): Sizes {
  for (const [what, operand] of Object.entries({ q, k, v })) checkFloat(NAME, operand, what);
  const shapes = [q.shape, k.shape, v.shape];
  sameDevice(NAME, q.data, k.data);
  sameDevice(NAME, q.data, v.data);
  const [length, features, keys, values] = [q.shape.at(-2), q.shape.at(-1), k.shape.at(-2), v.shape.at(-1)];
  const fits = features === k.shape.at(-1) && keys === v.shape.at(-2);
  if (length === undefined || features === undefined || keys === undefined || v.ndim < 2 || !fits)
    throw new ShapeError(NAME, "takes q (…, L, E), k (…, S, E) and v (…, S, Ev)", { shapes });
  const scored = broadcastShapes(NAME, q.shape.slice(0, -2), k.shape.slice(0, -2), shapes);
  const batch = broadcastShapes(NAME, scored, v.shape.slice(0, -2), shapes);
  return { batch, length, keys, features, values: values! };
}

function checkMask(mask: Tensor, q: Tensor, { batch, length, keys }: Sizes): void {
  checkTensor(NAME, mask, "the mask");
  sameDevice(NAME, q.data, mask.data);
  const scores = [...batch, length, keys];
  const shapes = [mask.shape, scores];
  if (!sameShape(broadcastShapes(NAME, mask.shape, scores), scores))
    throw new ShapeError(NAME, "the mask must broadcast to the scores (…, L, S), and has more", { shapes });
}

/** `x` itself where the elements of a row are adjacent, else a copy. */
function rowsOf(x: NDArray): NDArray {
  const adjacent = (x.shape.at(-1) ?? 1) <= 1 || x.strides.at(-1) === 1;
  return adjacent ? x : x.copy();
}

/** Room for `shape`, whose axes but the last lie in memory in the order of those of `like`. */
function emptyLike(like: NDArray, shape: Shape): NDArray {
  const strides = [...Array<number>(shape.length - like.ndim).fill(0), ...like.strides];
  const order = shape.map((_, axis) => axis);
  const last = order.pop()!;
  order.sort((a, b) => Math.abs(strides[b]!) - Math.abs(strides[a]!) || a - b);
  order.push(last);
  const axes = order.map((_, axis) => order.indexOf(axis));
  return NDArray.empty(order.map((axis) => shape[axis]!), like).permute(axes); // prettier-ignore
}

const pointerOf = (x: NDArray | null) => x?.pointer ?? null;
const pointersOf = ({ q, k, v, bias }: Operands) => [q.pointer, k.pointer, v.pointer, pointerOf(bias)] as const;

const OPERANDS = Object.keys(Operand) as Operand[];

/** One for all calls, valid until the next, on a buffer of its own: see pack.ts. */
const header = new Int32Array(new ArrayBuffer(4 * (7 + MAX_NDIM * (1 + OPERANDS.length))));

/** Sizes and strides as the kernels take them; what is null or left out they do not read. */
function pack(sizes: Sizes, causal: boolean, operands: Partial<Record<Operand, NDArray | null>>): Int32Array {
  const { batch, length, keys, features, values } = sizes;
  const step = (operands.bias?.shape.at(-1) ?? 1) === 1 ? 0 : 1;
  header.set([length, keys, features, values, Number(causal), step, batch.length, ...batch]);
  let at = 7 + batch.length;
  for (const name of OPERANDS) {
    const operand = operands[name];
    if (operand) {
      // A mask may have one axis, or none.
      const rows = name === "bias" ? [...batch, length] : [...batch, operand.shape.at(-2)!];
      header.set(broadcastStrides(NAME, operand.shape.slice(0, -1), operand.strides.slice(0, -1), rows), at);
    }
    at += batch.length + 1;
  }
  return header;
}
