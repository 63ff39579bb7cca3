/** Attention with several heads. */
import type { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, DTypeError, ShapeError } from "../native/errors.ts";
import { sameShape } from "../ndarray/layout.ts";
import { checkOptions } from "../ndarray/options.ts";
import { tidy } from "../ndarray/scope.ts";
import { scaledDotProductAttention } from "../ops/attention.ts";
import { where } from "../ops/compare.ts";
import { linear } from "../ops/matmul.ts";
import { reshape, slice, split, transpose } from "../ops/shape.ts";
import { checkFloat, checkNumber, checkTensor } from "../ops/support.ts";
import { Linear } from "./linear.ts";
import { type InPyTorch, inPyTorch, keepsNothing, Module } from "./module.ts";
import { checkModuleOptions, checkSize, type ModuleOptions } from "./options.ts";

export interface MultiheadAttentionOptions extends ModuleOptions {
  /** Default true. */
  bias?: boolean | undefined;
  /** Probability that a weight of the attention is zeroed, in training. Default 0. */
  dropout?: number | undefined;
}

/** As those of {@link scaledDotProductAttention}. */
export interface MultiheadAttentionCall {
  /** Broadcasts to (N, numHeads, L, S). int32: a query attends to the keys where it is not 0; float32: added to the scores. */
  mask?: Tensor | null | undefined;
  /**
   * (N, S) int32: no query attends to the keys where it is 0, such as those that only fill up a batch. PyTorch's
   * `key_padding_mask` the other way round. With a mask too, both hold.
   */
  keyMask?: Tensor | null | undefined;
  /**
   * Query i attends to keys 0 to i alone, counted from the first: leave it off for one new query and the keys before it.
   * Default false.
   */
  causal?: boolean | undefined;
}

/**
 * Attention with several heads (Vaswani et al., 2017), batch first: query (N, L, E), key and value (N, S, E) give
 * (N, L, E). Each head has E / numHeads of the features.
 *
 * `inProj` (E, 3E) makes queries, keys and values, in this order, in one product where they come from one tensor, and
 * `outProj` (E, E) mixes the heads: both as in {@link Linear}, so the transposes of PyTorch's `in_proj_weight` and
 * `out_proj.weight`. They start as PyTorch's: Xavier-uniform and U(±1/√E), biases at 0.
 *
 * @example A block of a Transformer's decoder.
 * ```ts
 * class Block extends nn.Module {
 *   readonly norms = [new nn.LayerNorm(256), new nn.LayerNorm(256)] as const;
 *   readonly attention = new nn.MultiheadAttention(256, 8, { dropout: 0.1 });
 *   readonly mlp = new nn.Sequential(new nn.Linear(256, 1024), new nn.GELU(), new nn.Linear(1024, 256));
 *
 *   forward(x: Tensor): Tensor {
 *     const normed = this.norms[0].forward(x);
 *     const y = x.add(this.attention.forward(normed, normed, normed, { causal: true }));
 *     return y.add(this.mlp.forward(this.norms[1].forward(y)));
 *   }
 * }
 * ```
 */
export class MultiheadAttention extends Module {
  static readonly [keepsNothing] = true;

  readonly inProj: Linear;
  readonly outProj: Linear;
  readonly dropout: number;

  readonly embedDim: number;
  readonly numHeads: number;

  constructor(embedDim: number, numHeads: number, options: MultiheadAttentionOptions = {}) {
    super();
    this.embedDim = embedDim;
    this.numHeads = numHeads;
    const { dropout = 0, ...rest } = checkModuleOptions("MultiheadAttention", options, ["bias", "dropout"]);
    checkSize("MultiheadAttention", "embedDim", embedDim);
    checkSize("MultiheadAttention", "numHeads", numHeads);
    if (embedDim % numHeads !== 0)
      throw new ArgumentError("MultiheadAttention", `embedDim ${embedDim} is no multiple of numHeads ${numHeads}`);
    checkNumber("MultiheadAttention", "dropout", dropout, 0, 1);
    this.dropout = dropout;
    this.inProj = new Linear(embedDim, 3 * embedDim, { ...rest, gain: Math.SQRT1_2 }); // √(3 / 2E) is √(6 / (E + 3E))
    this.outProj = new Linear(embedDim, embedDim, { ...rest, gain: 1 / Math.sqrt(3) });
    for (const { bias } of [this.inProj, this.outProj]) bias?.set(0);
  }

  /** @throws ShapeError for a mask of three axes, which could be one for each batch or for each head. */
  override forward(query: Tensor, key = query, value = key, options: MultiheadAttentionCall = {}): Tensor {
    const { mask, keyMask, causal } = checkOptions("MultiheadAttention", options, ["mask", "keyMask", "causal"]);
    this.checkInputs(query, key, value);
    if (mask?.ndim === 2 && ![1, query.shape[1]].includes(mask.shape[0]))
      throw new ShapeError("MultiheadAttention", "takes a mask (L, S) or (N or 1, heads or 1, L or 1, S)", {
        shapes: [mask.shape],
        hint: "One of keys, (N, S), is the option keyMask",
      });
    if (mask?.ndim === 3)
      throw new ShapeError("MultiheadAttention", "takes a mask (L, S) or (N or 1, heads or 1, L, S)", {
        shapes: [mask.shape],
        hint: "unsqueeze(1) makes one for each batch, unsqueeze(0) one for each head",
      });
    return tidy(() => {
      const [q, k, v] = this.project(query, key, value);
      const dropout = this.training ? this.dropout : 0;
      const both = keyMask ? withKeys(checkKeyMask(keyMask, key), mask ?? null) : mask;
      const heads = scaledDotProductAttention(q!, k!, v!, { mask: both, causal, dropout });
      return this.outProj.forward(reshape(transpose(heads, 1, 2), query.shape));
    });
  }

  override [inPyTorch](name: string): InPyTorch {
    return { name: name.replace(/^inProj\./, "in_proj_").replace(/^outProj\./, "out_proj.") };
  }

  /** Queries, keys and values, each (N, heads, length, features), with one product for those of one tensor. */
  private project(query: Tensor, key: Tensor, value: Tensor): Tensor[] {
    if (query === key && key === value) return this.heads(query, 0, 3);
    if (key === value) return [...this.heads(query, 0, 1), ...this.heads(key, 1, 2)];
    return [...this.heads(query, 0, 1), ...this.heads(key, 1, 1), ...this.heads(value, 2, 1)];
  }

  /** `count` of the three thirds of `inProj`, from `first` on. */
  private heads(x: Tensor, first: number, count: number): Tensor[] {
    const { weight, bias } = this.inProj;
    const columns = [first * this.embedDim, (first + count) * this.embedDim] as const;
    const all = count === 3;
    const y = all
      ? linear(x, weight, bias)
      : linear(x, slice(weight, null, columns), bias === null ? null : slice(bias, columns));
    const apart = reshape(y, [x.shape[0]!, x.shape[1]!, count, this.numHeads, this.embedDim / this.numHeads]);
    return split(apart, 2).map((part) => transpose(part, 1, 2));
  }

  private checkInputs(query: Tensor, key: Tensor, value: Tensor): void {
    for (const [what, x] of Object.entries({ query, key, value })) {
      checkFloat("MultiheadAttention", x, `the ${what}`);
      if (x.ndim !== 3 || x.shape[2] !== this.embedDim)
        throw new ShapeError("MultiheadAttention", `takes a ${what} (N, length, ${this.embedDim})`, {
          shapes: [x.shape],
        });
    }
    const shapes = [query.shape, key.shape, value.shape];
    if (query.shape[0] !== key.shape[0] || key.shape[0] !== value.shape[0] || key.shape[1] !== value.shape[1])
      throw new ShapeError("MultiheadAttention", "takes query (N, L, E), key and value (N, S, E)", { shapes });
  }
}

/** As a mask (N, 1, 1, S). */
function checkKeyMask(keyMask: Tensor, key: Tensor): Tensor {
  checkTensor("MultiheadAttention", keyMask, "keyMask");
  const [n, count] = [key.shape[0]!, key.shape[1]!];
  const shapes = [keyMask.shape, key.shape];
  if (keyMask.dtype !== "int32")
    throw new DTypeError("MultiheadAttention", `keyMask must be int32, not ${keyMask.dtype}`, { shapes });
  if (!sameShape(keyMask.shape, [n, count]))
    throw new ShapeError("MultiheadAttention", `takes a keyMask (N, S), here (${n}, ${count})`, { shapes });
  return reshape(keyMask, [n, 1, 1, count]);
}

/** A mask that also hides the keys that `keys` hides. */
function withKeys(keys: Tensor, mask: Tensor | null): Tensor {
  return mask === null ? keys : where(keys, mask, mask.dtype === "int32" ? 0 : -Infinity);
}
