/** Embedding against its definition: the product of one-hot rows with the table. */
import { describe, expect, test } from "bun:test";

import { ArgumentError, DTypeError, init, manualSeed, nn, ops, tensor } from "thimble";

import { close } from "../support/close.ts";

describe("Embedding", () => {
  test("agrees with the one-hot product, forward and backward, for ids that repeat", () => {
    manualSeed(1);
    const embedding = new nn.Embedding(7, 3);
    const ids = tensor(Int32Array.of(4, 0, 4, 6), { shape: [2, 2] });
    const g = init.normal([2, 2, 3]);
    const y = embedding.forward(ids);
    y.backward(g);
    const found = embedding.weight.grad!.toTypedArray();

    embedding.weight.grad = null;
    const expected = ops.matmul(init.oneHot(7, ids), embedding.weight);
    expected.backward(g);
    close(y, { shape: [2, 2, 3], values: expected.toTypedArray() });
    close(embedding.weight.grad!, { shape: [7, 3], values: found });
  });

  test("starts from N(0, 1) and is named weight", () => {
    manualSeed(2);
    const { weight } = new nn.Embedding(1000, 50);
    const values = Array.from(weight.toTypedArray());
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.02);
    expect(Math.abs(variance - 1)).toBeLessThan(0.03);
    expect(Object.keys(new nn.Embedding(2, 2).stateDict())).toEqual(["weight"]);
  });

  test("refuses ids outside the table, real ids, and sizes that are none", () => {
    const embedding = new nn.Embedding(3, 2);
    for (const id of [-1, 3]) expect(() => embedding.forward(tensor(Int32Array.of(id)))).toThrow(ArgumentError);
    expect(() => embedding.forward(tensor([1]))).toThrow(DTypeError);
    for (const size of [0, -1, 1.5, NaN]) {
      expect(() => new nn.Embedding(size, 2)).toThrow(ArgumentError);
      expect(() => new nn.Embedding(2, size)).toThrow(ArgumentError);
    }
  });
});
