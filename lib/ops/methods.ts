/** Installs the operations as methods of Tensor, so that autograd need not know them. */
import { Tensor } from "../autograd/tensor.ts";
import type { Axes, ReduceOptions } from "../ndarray/arithmetic.ts";
import type { Device } from "../ndarray/device.ts";
import type { Shape } from "../ndarray/layout.ts";
import type { Range } from "../ndarray/views.ts";
import type { ArrayOptions } from "../ndarray/ndarray.ts";
import { conv, type ConvOptions } from "./conv.ts";
import { dropout } from "./dropout.ts";
import { embedding } from "./embedding.ts";
import * as elementwise from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import { to } from "./move.ts";
import * as reductions from "./reduce.ts";
import * as shapes from "./shape.ts";
import { logSoftmax, softmax } from "./softmax.ts";

declare module "../autograd/tensor.ts" {
  interface Tensor {
    add(other: elementwise.Operand): Tensor;
    sub(other: elementwise.Operand): Tensor;
    mul(other: elementwise.Operand): Tensor;
    div(other: elementwise.Operand): Tensor;
    maximum(other: elementwise.Operand): Tensor;
    pow(exponent: number): Tensor;
    neg(): Tensor;
    exp(): Tensor;
    log(): Tensor;
    sqrt(): Tensor;
    tanh(): Tensor;
    relu(): Tensor;
    sigmoid(): Tensor;
    abs(): Tensor;
    matmul(other: Tensor): Tensor;
    sum(options?: Axes | ReduceOptions): Tensor;
    mean(options?: Axes | ReduceOptions): Tensor;
    max(options?: Axes | ReduceOptions): Tensor;
    logSumExp(options?: Axes | ReduceOptions): Tensor;
    softmax(axis?: number): Tensor;
    logSoftmax(axis?: number): Tensor;
    reshape(shape: Shape): Tensor;
    transpose(first?: number, second?: number): Tensor;
    permute(axes: readonly number[]): Tensor;
    broadcastTo(shape: Shape): Tensor;
    flip(axes?: number | readonly number[]): Tensor;
    slice(...ranges: Range[]): Tensor;
    pad(widths: readonly (readonly [number, number])[]): Tensor;
    dilate(axes: number | readonly number[], dilation: number): Tensor;
    undilate(axes: number | readonly number[], dilation: number): Tensor;
    /** Joins this tensor, in front, and others along a new axis. */
    stack(others: readonly Tensor[], axis?: number): Tensor;
    /** Joins this tensor, in front, and others along an axis. */
    concat(others: readonly Tensor[], axis?: number): Tensor;
    /** The slices along an axis, by default 0, which is dropped. */
    split(axis?: number): Tensor[];
    dropout(p: number): Tensor;
    conv(weight: Tensor, options?: ConvOptions): Tensor;
    /** The rows `ids` of this table. */
    embedding(ids: Tensor): Tensor;
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
  maximum: method(elementwise.maximum),
  pow: method(elementwise.pow),
  neg: method(elementwise.neg),
  exp: method(elementwise.exp),
  log: method(elementwise.log),
  sqrt: method(elementwise.sqrt),
  tanh: method(elementwise.tanh),
  relu: method(elementwise.relu),
  sigmoid: method(elementwise.sigmoid),
  abs: method(elementwise.abs),
  matmul: method(matmul),
  sum: method(reductions.sum),
  mean: method(reductions.mean),
  max: method(reductions.max),
  logSumExp: method(reductions.logSumExp),
  softmax: method(softmax),
  logSoftmax: method(logSoftmax),
  reshape: method(shapes.reshape),
  transpose: method(shapes.transpose),
  permute: method(shapes.permute),
  broadcastTo: method(shapes.broadcastTo),
  flip: method(shapes.flip),
  slice: method(shapes.slice),
  pad: method(shapes.pad),
  dilate: method(shapes.dilate),
  undilate: method(shapes.undilate),
  stack: method((a, others: readonly Tensor[], axis?: number) => shapes.stack(withFirst(a, others), axis)),
  concat: method((a, others: readonly Tensor[], axis?: number) => shapes.concat(withFirst(a, others), axis)),
  split: method(shapes.split),
  dropout: method(dropout),
  conv: method(conv),
  embedding: method(embedding),
  to: method(to),
});
