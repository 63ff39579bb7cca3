/** Every operation is a function of `ops`, and a method of Tensor with the same meaning. */
import { describe, expect, test } from "bun:test";
import type { Tensor } from "thimble";
import { Generator, ops, tensor } from "thimble";

const x = tensor([[1, 2], [3, 4]]); // prettier-ignore
const y = tensor([[2, 0.5], [1, 8]]); // prettier-ignore
const image = tensor(new Float32Array(16).map((_, i) => i), { shape: [1, 4, 4, 1] }); // prettier-ignore
const ids = tensor([1, 0], { dtype: "int32" });
const kernel = tensor([1, 2, 3, 4], { shape: [2, 2, 1, 1] });
const seeded = () => new Generator(5);

/** [as a function, as a method]. */
const both: Record<string, readonly [Tensor, Tensor]> = {
  add: [ops.add(x, y), x.add(y)],
  sub: [ops.sub(x, y), x.sub(y)],
  mul: [ops.mul(x, 3), x.mul(3)],
  div: [ops.div(x, y), x.div(y)],
  pow: [ops.pow(x, 3), x.pow(3)],
  neg: [ops.neg(x), x.neg()],
  exp: [ops.exp(x), x.exp()],
  log: [ops.log(x), x.log()],
  sqrt: [ops.sqrt(x), x.sqrt()],
  tanh: [ops.tanh(x), x.tanh()],
  relu: [ops.relu(x), x.relu()],
  sigmoid: [ops.sigmoid(x), x.sigmoid()],
  abs: [ops.abs(x), x.abs()],
  maximum: [ops.maximum(x, y), x.maximum(y)],
  minimum: [ops.minimum(x, y), x.minimum(y)],
  clamp: [ops.clamp(x, 0, 1), x.clamp(0, 1)],
  equal: [ops.equal(x, y), x.equal(y)],
  notEqual: [ops.notEqual(x, y), x.notEqual(y)],
  less: [ops.less(x, y), x.less(y)],
  lessEqual: [ops.lessEqual(x, y), x.lessEqual(y)],
  greater: [ops.greater(x, y), x.greater(y)],
  greaterEqual: [ops.greaterEqual(x, y), x.greaterEqual(y)],
  isNaN: [ops.isNaN(x), x.isNaN()],
  isFinite: [ops.isFinite(x), x.isFinite()],
  where: [ops.where(x, y, 2), x.where(y, 2)],
  sin: [ops.sin(x), x.sin()],
  cos: [ops.cos(x), x.cos()],
  floor: [ops.floor(x), x.floor()],
  ceil: [ops.ceil(x), x.ceil()],
  round: [ops.round(x), x.round()],
  gelu: [ops.gelu(x), x.gelu()],
  silu: [ops.silu(x), x.silu()],
  softplus: [ops.softplus(x), x.softplus()],
  leakyRelu: [ops.leakyRelu(x, 0.3), x.leakyRelu(0.3)],
  matmul: [ops.matmul(x, y), x.matmul(y)],
  outer: [ops.outer(x.slice(0), y.slice(1)), x.slice(0).outer(y.slice(1))],
  stack: [ops.stack([x, y], 1), x.stack([y], 1)],
  concat: [ops.concat([x, y, x], 1), x.concat([y, x], 1)],
  sum: [ops.sum(x, { axes: 0 }), x.sum({ axes: 0 })],
  mean: [ops.mean(x, { axes: [1], keepDims: true }), x.mean({ axes: [1], keepDims: true })],
  max: [ops.max(x), x.max()],
  min: [ops.min(x, 1), x.min(1)],
  argMax: [ops.argMax(x, 0), x.argMax(0)],
  argMin: [ops.argMin(x, 0), x.argMin(0)],
  any: [ops.any(x, 0), x.any(0)],
  all: [ops.all(x, { axes: 1 }), x.all({ axes: 1 })],
  variance: [ops.variance(x, { axes: 0, correction: 0 }), x.variance({ axes: 0, correction: 0 })],
  std: [ops.std(x, 1), x.std(1)],
  cumSum: [ops.cumSum(x, 0), x.cumSum(0)],
  gather: [ops.gather(x, 1, ids.reshape([2, 1])), x.gather(1, ids.reshape([2, 1]))],
  indexSelect: [ops.indexSelect(x, 1, ids), x.indexSelect(1, ids)],
  topK: [ops.topK(x, 1, { axis: 0 })[0], x.topK(1, { axis: 0 })[0]],
  sort: [ops.sort(y, { descending: true })[1], y.sort({ descending: true })[1]],
  argSort: [ops.argSort(y), y.argSort()],
  prod: [ops.prod(x, { axes: 1, keepDims: true }), x.prod({ axes: 1, keepDims: true })],
  norm: [ops.norm(x, { axes: 0, p: 3 }), x.norm({ axes: 0, p: 3 })],
  cosineSimilarity: [ops.cosineSimilarity(x, y, { axis: 0 }), x.cosineSimilarity(y, { axis: 0 })],
  scatterAdd: [ops.scatterAdd(x, 1, ids.reshape([2, 1]), y), x.scatterAdd(1, ids.reshape([2, 1]), y)],
  indexAdd: [ops.indexAdd(x, 1, ids, y), x.indexAdd(1, ids, y)],
  lerp: [ops.lerp(x, y, 0.25), x.lerp(y, 0.25)],
  logSumExp: [ops.logSumExp(x, { axes: 1 }), x.logSumExp({ axes: 1 })],
  softmax: [ops.softmax(x, 0), x.softmax(0)],
  logSoftmax: [ops.logSoftmax(x), x.logSoftmax()],
  reshape: [ops.reshape(x, [4]), x.reshape([4])],
  squeeze: [ops.squeeze(x.reshape([1, 4]), 0), x.reshape([1, 4]).squeeze(0)],
  unsqueeze: [ops.unsqueeze(x, -1), x.unsqueeze(-1)],
  transpose: [ops.transpose(x, 0, 1), x.transpose(0, 1)],
  permute: [ops.permute(x, [1, 0]), x.permute([1, 0])],
  broadcastTo: [ops.broadcastTo(x, [2, 2, 2]), x.broadcastTo([2, 2, 2])],
  flip: [ops.flip(x, [1]), x.flip([1])],
  pad: [ops.pad(x, [[0, 1], [1, 0]]), x.pad([[0, 1], [1, 0]])], // prettier-ignore
  dilate: [ops.dilate(x, [0], 2), x.dilate([0], 2)],
  undilate: [ops.undilate(x, [0], 1), x.undilate([0], 1)],
  split: [ops.split(x, 1)[1]!, x.split(1)[1]!],
  diagonal: [ops.diagonal(x, 1, 1, 0), x.diagonal(1, 1, 0)],
  tril: [ops.tril(x, -1), x.tril(-1)],
  triu: [ops.triu(x), x.triu()],
  roll: [ops.roll(x, 1, 0), x.roll(1, 0)],
  repeat: [ops.repeat(x, [2, 1]), x.repeat([2, 1])],
  chunk: [ops.chunk(x, 2, 1)[1]!, x.chunk(2, 1)[1]!],
  slice: [ops.slice(x, null, 1), x.slice(null, 1)],
  dropout: [ops.dropout(x, 0), x.dropout(0)],
  multinomial: [ops.multinomial(x, 2, { generator: seeded() }), x.multinomial(2, { generator: seeded() })],
  bernoulli: [ops.bernoulli(x.div(4), { generator: seeded() }), x.div(4).bernoulli({ generator: seeded() })],
  sample: [ops.sample(x, { topK: 2, generator: seeded() }), x.sample({ topK: 2, generator: seeded() })],
  conv: [ops.conv(image, kernel, { stride: 2 }), image.conv(kernel, { stride: 2 })],
  convTranspose: [ops.convTranspose(image, kernel, { stride: 2 }), image.convTranspose(kernel, { stride: 2 })],
  maxPool: [ops.maxPool(image, 3, { stride: 1 }), image.maxPool(3, { stride: 1 })],
  avgPool: [ops.avgPool(image, 2), image.avgPool(2)],
  upsample: [ops.upsample(image, 2), image.upsample(2)],
};

describe("Tensor methods", () => {
  for (const [name, [called, sent]] of Object.entries(both)) {
    test(name, () => {
      expect(sent.shape).toEqual(called.shape);
      expect(sent.toTypedArray()).toEqual(called.toTypedArray());
    });
  }

  test("the functions that take no single tensor in front are there too", () => {
    expect(Object.keys(ops)).toEqual(expect.arrayContaining([...Object.keys(both), "stack", "concat", "embedding"]));
  });
});
