/** Installs the operations as methods of Tensor, so that autograd need not know them. */
import { Tensor } from "../autograd/tensor.ts";
import type { Axes, ReduceOptions } from "../ndarray/arithmetic.ts";
import type { Device } from "../ndarray/device.ts";
import type { Shape } from "../ndarray/layout.ts";
import type { Range } from "../ndarray/views.ts";
import type { ArrayOptions } from "../ndarray/array-options.ts";
import { conv, type ConvOptions } from "./conv.ts";
import { convTranspose, type ConvTransposeOptions } from "./conv-transpose.ts";
import { cumSum } from "./cum-sum.ts";

import { dropout } from "./dropout.ts";
import { embedding } from "./embedding.ts";
import * as compare from "./compare.ts";
import * as elementwise from "./elementwise.ts";
import { gather, indexAdd, indexSelect, scatterAdd } from "./gather.ts";
import { matmul, outer } from "./matmul.ts";
import { to } from "./move.ts";
import { avgPool, maxPool, type PoolOptions } from "./pool.ts";
import {
  bernoulli,
  multinomial,
  type MultinomialOptions,
  type RandomOptions,
  sample,
  type SampleOptions,
} from "./random.ts";
import * as rearrange from "./rearrange.ts";
import * as reductions from "./reduce.ts";
import * as shapes from "./shape.ts";
import { logSoftmax, softmax } from "./softmax.ts";
import { argSort, sort, type SortOptions, topK, type TopKOptions } from "./sort.ts";
import { upsample } from "./upsample.ts";
import { cosineSimilarity, type CosineSimilarityOptions, norm, type NormOptions } from "./vector-norm.ts";

declare module "../autograd/tensor.ts" {
  interface Tensor {
    /** this + other, a tensor that broadcasts, or a number. */
    add(other: elementwise.Operand): Tensor;
    /** this - other. */
    sub(other: elementwise.Operand): Tensor;
    /** this · other, element by element. */
    mul(other: elementwise.Operand): Tensor;
    /** this / other. */
    div(other: elementwise.Operand): Tensor;
    /** The larger of each pair. */
    maximum(other: elementwise.Operand): Tensor;
    /** The smaller of each pair. */
    minimum(other: elementwise.Operand): Tensor;
    /** At least `min` and at most `max`, by default Infinity. */
    clamp(min: number, max?: number): Tensor;
    /** int32: 1 where equal, else 0, without a gradient; so are the other comparisons. */
    equal(other: elementwise.Operand): Tensor;
    notEqual(other: elementwise.Operand): Tensor;
    less(other: elementwise.Operand): Tensor;
    lessEqual(other: elementwise.Operand): Tensor;
    greater(other: elementwise.Operand): Tensor;
    greaterEqual(other: elementwise.Operand): Tensor;
    /** int32: 1 where NaN, else 0. */
    isNaN(): Tensor;
    /** int32: 1 where neither infinite nor NaN, else 0. */
    isFinite(): Tensor;
    /** a where this tensor is not zero, b elsewhere: tensors that broadcast, or numbers. */
    where(a: elementwise.Operand, b: elementwise.Operand): Tensor;
    /** this + weight · (other - this). */
    lerp(other: Tensor, weight: elementwise.Operand): Tensor;
    /** To the power of a number. */
    pow(exponent: number): Tensor;
    /** -this. */
    neg(): Tensor;
    exp(): Tensor;
    /** The natural logarithm. */
    log(): Tensor;
    sqrt(): Tensor;
    sin(): Tensor;
    cos(): Tensor;
    tanh(): Tensor;
    /** max(this, 0). */
    relu(): Tensor;
    /** 1 / (1 + exp(-this)). */
    sigmoid(): Tensor;
    abs(): Tensor;
    /** The largest integer of at most this, without a gradient to speak of: it is 0. */
    floor(): Tensor;
    /** The smallest integer of at least this. */
    ceil(): Tensor;
    /** The nearest integer, of two the even one. */
    round(): Tensor;
    /** this · Φ(this), Φ the normal distribution. */
    gelu(): Tensor;
    /** this · sigmoid(this). */
    silu(): Tensor;
    /** log(1 + exp(this)). */
    softplus(): Tensor;
    /** this where it is positive, else times `slope`, by default 0.01. */
    leakyRelu(slope?: number): Tensor;
    /** The matrix product over the last two axes, with broadcast batch axes. */
    matmul(other: Tensor): Tensor;
    /** This vector's elements times each of another: out[i][j] = this[i] · other[j]. */
    outer(other: Tensor): Tensor;
    /** Over the axes, by default all: `sum(0)`, `sum({ axes: [0, 1], keepDims: true })`. */
    sum(options?: Axes | ReduceOptions): Tensor;
    /** The mean over the axes, as {@link sum}. */
    mean(options?: Axes | ReduceOptions): Tensor;
    /** The maximum over the axes, as {@link sum}; ties share the gradient equally. */
    max(options?: Axes | ReduceOptions): Tensor;
    /** The minimum over the axes, as {@link sum}. */
    min(options?: Axes | ReduceOptions): Tensor;
    /** int32 indices of the first maximum, counted row-major over the reduced axes. */
    argMax(options?: Axes | ReduceOptions): Tensor;
    /** int32 indices of the first minimum, counted row-major over the reduced axes. */
    argMin(options?: Axes | ReduceOptions): Tensor;
    /** int32: 1 where some element over the axes is not zero, else 0. */
    any(options?: Axes | ReduceOptions): Tensor;
    /** int32: 1 where no element over the axes is zero, else 0. */
    all(options?: Axes | ReduceOptions): Tensor;
    /** The variance over the axes, unbiased by default. */
    variance(options?: Axes | reductions.VarianceOptions): Tensor;
    /** The standard deviation over the axes, the root of {@link variance}. */
    std(options?: Axes | reductions.VarianceOptions): Tensor;
    /** The product over the axes, as {@link sum}. */
    prod(options?: Axes | ReduceOptions): Tensor;
    /** The p-norm over the axes, by default the Euclidean one over all. */
    norm(options?: Axes | NormOptions): Tensor;
    /** The cosine of the angle to another tensor's vectors along an axis, by default 1. */
    cosineSimilarity(other: Tensor, options?: CosineSimilarityOptions): Tensor;
    /** log Σ exp over the axes, as {@link sum}. */
    logSumExp(options?: Axes | ReduceOptions): Tensor;
    /** Running sums along an axis. */
    cumSum(axis: number): Tensor;
    /** The k largest (or smallest) elements along an axis, in order, and their int32 indices. */
    topK(k: number, options?: TopKOptions): [values: Tensor, indices: Tensor];
    /** The elements along an axis in order, by default ascending along the last, and their int32 indices. */
    sort(options?: SortOptions): [values: Tensor, indices: Tensor];
    /** The int32 indices of {@link sort}. */
    argSort(options?: SortOptions): Tensor;
    /** exp(this) over its sum along an axis, by default the last. */
    softmax(axis?: number): Tensor;
    /** The logarithm of {@link softmax}. */
    logSoftmax(axis?: number): Tensor;
    /** The same elements in row-major order under another shape; one size may be -1. */
    reshape(shape: Shape): Tensor;
    /** Drops the axes of size 1: all, or those named, of which others stay. */
    squeeze(axes?: number | readonly number[]): Tensor;
    /** A new axis of size 1, which is axis `axis` of the result; -1 is the last. */
    unsqueeze(axis: number): Tensor;
    /** Swaps two axes, by default the last two. */
    transpose(first?: number, second?: number): Tensor;
    /** Axis i of the result is axis `axes[i]`. */
    permute(axes: readonly number[]): Tensor;
    /** Stretched by NumPy's rules: axes of size 1, and new axes in front. */
    broadcastTo(shape: Shape): Tensor;
    /** Reverses axes, by default all. */
    flip(axes?: number | readonly number[]): Tensor;
    /** The diagonal of two axes, by default the first, as the last axis instead: elements (i, i + offset). */
    diagonal(offset?: number, first?: number, second?: number): Tensor;
    /** A part, one range for each axis, fewer allowed: an index, null, [start, stop] or [start, stop, step]. */
    slice(...ranges: Range[]): Tensor;
    /** Zeros around: [before, after] for each axis. */
    pad(widths: readonly (readonly [number, number])[]): Tensor;
    /** The lower triangle of the last two axes, up to a diagonal (positive: above the main one); zeros elsewhere. */
    tril(diagonal?: number): Tensor;
    /** The upper triangle of the last two axes, from a diagonal on. */
    triu(diagonal?: number): Tensor;
    /** Elements moved by `shifts` along the axes, and around their ends; without axes, in row-major order. */
    roll(shifts: number | readonly number[], axes?: number | readonly number[]): Tensor;
    /** This tensor `repeats[i]` times along axis i, as torch's `repeat` and NumPy's `tile`. */
    repeat(repeats: Shape): Tensor;
    /** Puts `dilation` zeros after every element along the axes. */
    dilate(axes: number | readonly number[], dilation: number): Tensor;
    /** Takes every (dilation + 1)-th element along the axes. */
    undilate(axes: number | readonly number[], dilation: number): Tensor;
    /** Joins this tensor, in front, and others along a new axis. */
    stack(others: readonly Tensor[], axis?: number): Tensor;
    /** Joins this tensor, in front, and others along an axis. */
    concat(others: readonly Tensor[], axis?: number): Tensor;
    /** The slices along an axis, by default 0, which is dropped: `torch.unbind`. */
    split(axis?: number): Tensor[];
    /** At most `count` slices of one size along an axis, which they keep; the last may be smaller. */
    chunk(count: number, axis?: number): Tensor[];
    /** Zeroes elements with probability p, and scales the others by 1 / (1 - p). */
    dropout(p: number): Tensor;
    /** int32 indices (…, numSamples), drawn by the weights along the last axis. */
    multinomial(numSamples: number, options?: MultinomialOptions): Tensor;
    /** 1 with the probability that each element is, else 0. */
    bernoulli(options?: RandomOptions): Tensor;
    /** int32 indices drawn by logits along the last axis, with temperature, topK and topP. */
    sample(options?: SampleOptions): Tensor;
    /** Convolution of images (N, H, W, Cin) with a weight (k, k, Cin, Cout). */
    conv(weight: Tensor, options?: ConvOptions): Tensor;
    /** Transposed convolution of images (N, H, W, Cin) with a weight (k, k, Cout, Cin). */
    convTranspose(weight: Tensor, options?: ConvTransposeOptions): Tensor;
    /** The maximum of each window of images (N, H, W, C). */
    maxPool(kernelSize: number, options?: PoolOptions): Tensor;
    /** The mean of each window of images (N, H, W, C). */
    avgPool(kernelSize: number, options?: PoolOptions): Tensor;
    /** Every pixel of images (N, H, W, C) `scale` times along height and width. */
    upsample(scale: number): Tensor;
    /** The rows `ids` of this table. */
    embedding(ids: Tensor): Tensor;
    /** Elements along an axis by number: `ids` int32 has as many axes. */
    gather(axis: number, ids: Tensor): Tensor;
    /** The slices `ids` (n) int32 along an axis. */
    indexSelect(axis: number, ids: Tensor): Tensor;
    /** This tensor with elements of `source` added along an axis at `ids`, int32. */
    scatterAdd(axis: number, ids: Tensor, source: Tensor): Tensor;
    /** This tensor with the slices of `source` along an axis added to its slices `ids` (n) int32. */
    indexAdd(axis: number, ids: Tensor, source: Tensor): Tensor;
    /** This tensor on another device or with another dtype. */
    to(target: Device | ArrayOptions): Tensor;
  }
}

/** A method that calls an operation with this tensor in front. */
const method = <A extends unknown[], R>(operation: (a: Tensor, ...rest: A) => R) =>
  function (this: Tensor, ...rest: A): R {
    return operation(this, ...rest);
  };

/** The list that `stack` and `concat` check, with this tensor in front. */
const withFirst = (a: Tensor, others: readonly Tensor[]): readonly Tensor[] => [
  a,
  ...(Array.isArray(others) ? others : [others]),
];

Object.assign(Tensor.prototype, {
  add: method(elementwise.add),
  sub: method(elementwise.sub),
  mul: method(elementwise.mul),
  div: method(elementwise.div),
  maximum: method(compare.maximum),
  minimum: method(compare.minimum),
  clamp: method(compare.clamp),
  equal: method(compare.equal),
  notEqual: method(compare.notEqual),
  less: method(compare.less),
  lessEqual: method(compare.lessEqual),
  greater: method(compare.greater),
  greaterEqual: method(compare.greaterEqual),
  isNaN: method(compare.isNaN),
  isFinite: method(compare.isFinite),
  where: method(compare.where),
  lerp: method(elementwise.lerp),
  pow: method(elementwise.pow),
  neg: method(elementwise.neg),
  exp: method(elementwise.exp),
  log: method(elementwise.log),
  sqrt: method(elementwise.sqrt),
  sin: method(elementwise.sin),
  cos: method(elementwise.cos),
  tanh: method(elementwise.tanh),
  relu: method(elementwise.relu),
  sigmoid: method(elementwise.sigmoid),
  abs: method(elementwise.abs),
  floor: method(elementwise.floor),
  ceil: method(elementwise.ceil),
  round: method(elementwise.round),
  gelu: method(elementwise.gelu),
  silu: method(elementwise.silu),
  softplus: method(elementwise.softplus),
  leakyRelu: method(elementwise.leakyRelu),
  matmul: method(matmul),
  outer: method(outer),
  sum: method(reductions.sum),
  mean: method(reductions.mean),
  max: method(reductions.max),
  min: method(reductions.min),
  argMax: method(reductions.argMax),
  argMin: method(reductions.argMin),
  any: method(reductions.any),
  all: method(reductions.all),
  variance: method(reductions.variance),
  std: method(reductions.std),
  prod: method(reductions.prod),
  norm: method(norm),
  cosineSimilarity: method(cosineSimilarity),
  logSumExp: method(reductions.logSumExp),
  cumSum: method(cumSum),
  topK: method(topK),
  sort: method(sort),
  argSort: method(argSort),
  softmax: method(softmax),
  logSoftmax: method(logSoftmax),
  reshape: method(shapes.reshape),
  squeeze: method(shapes.squeeze),
  unsqueeze: method(shapes.unsqueeze),
  transpose: method(shapes.transpose),
  permute: method(shapes.permute),
  broadcastTo: method(shapes.broadcastTo),
  flip: method(shapes.flip),
  diagonal: method(shapes.diagonal),
  slice: method(shapes.slice),
  pad: method(shapes.pad),
  tril: method(rearrange.tril),
  triu: method(rearrange.triu),
  roll: method(rearrange.roll),
  repeat: method(rearrange.repeat),
  dilate: method(shapes.dilate),
  undilate: method(shapes.undilate),
  stack: method((a, others: readonly Tensor[], axis?: number) => shapes.stack(withFirst(a, others), axis)),
  concat: method((a, others: readonly Tensor[], axis?: number) => shapes.concat(withFirst(a, others), axis)),
  split: method(shapes.split),
  chunk: method(shapes.chunk),
  dropout: method(dropout),
  multinomial: method(multinomial),
  bernoulli: method(bernoulli),
  sample: method(sample),
  conv: method(conv),
  convTranspose: method(convTranspose),
  maxPool: method(maxPool),
  avgPool: method(avgPool),
  upsample: method(upsample),
  embedding: method(embedding),
  gather: method(gather),
  indexSelect: method(indexSelect),
  scatterAdd: method(scatterAdd),
  indexAdd: method(indexAdd),
  to: method(to),
});
