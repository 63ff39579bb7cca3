import { expect, test } from "bun:test";
import { NDArray, ops, Tensor, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { liveBytes } from "../support/live-bytes.ts";
import { Random } from "../support/random.ts";

interface Options {
  axis?: number;
  descending?: boolean;
  largest?: boolean;
  k?: number;
}

checkFamily<Options>("sort", {
  sort: (options, a) => ops.sort(a, options),
  argSort: (options, a) => ops.argSort(a, options),
  topK: ({ k, ...options }, a) => ops.topK(a, k!, options),
});

onEachDevice("sort", (device) => {
  test("long rows and many rows, in both directions, keep the order of equal elements", () => {
    const random = new Random(4);
    for (const [rows, cols] of [
      [1, 5000],
      [600, 7],
      [3, 1025],
    ] as const) {
      // prettier-ignore
      const values = Float32Array.from({ length: rows * cols }, () => random.integer(-50, 50));
      const x = tensor(values, { shape: [rows, cols], device });
      for (const descending of [false, true]) {
        const sign = descending ? -1 : 1;
        const expected = Array.from({ length: rows }, (_, row) => {
          const of = (i: number) => sign * values[row * cols + i]!;
          return Array.from({ length: cols }, (__, i) => i).sort((i, j) => of(i) - of(j) || i - j);
        });
        const index = ops.argSort(x, { descending });
        expect([index.dtype, index.toArray()]).toEqual(["int32", expected]);
        const [, first] = ops.topK(x, 3, { largest: descending });
        expect(first.toArray()).toEqual(expected.map((row) => row.slice(0, 3)));
      }
    }
  });

  test("a scalar, none of the elements, and no elements", () => {
    const scalar = tensor(3, { device, requiresGrad: true });
    const [value, index] = ops.sort(scalar);
    expect([value.item(), index.item(), value.shape, index.shape]).toEqual([3, 0, [], []]);
    value.backward();
    expect(scalar.grad!.item()).toBe(1);
    expect(ops.topK(scalar, 1)[0].shape).toEqual([]);
    expect(ops.topK(tensor([[1, 2]], { device }), 0).map(({ shape }) => shape)).toEqual([[1, 0], [1, 0]]); // prettier-ignore
    const empty = new Tensor(NDArray.zeros([0, 3], { device }), { requiresGrad: true });
    for (const axis of [0, 1]) {
      const [values] = ops.sort(empty, { axis });
      expect(values.shape).toEqual([0, 3]);
      values.sum().backward();
      expect(empty.grad!.shape).toEqual([0, 3]);
    }
  });

  test("gradients agree with finite differences", () => {
    const values = Float32Array.from({ length: 24 }, (_, i) => ((i * 7) % 24) / 8); // none so close that they swap
    const inputs = [{ shape: [3, 4, 2], values }];
    const square = (a: Tensor) => ops.mul(a, a);
    for (const axis of [0, 1, -1]) {
      checkGradients((a) => ops.sort(square(a), { axis, descending: true })[0], inputs, { device });
      checkGradients((a) => ops.topK(square(a), 2, { axis })[0], inputs, { device });
    }
  });

  test("what does not fit is refused", () => {
    const x = tensor([[1, 2, 3]], { device });
    expect(() => ops.topK(x, 4)).toThrow(/^topK: k is 4, and axis 1 has 3 elements.*\(1, 3\)/);
    for (const k of [-1, 1.5, NaN]) expect(() => ops.topK(x, k)).toThrow(/^topK: k must be an integer/);
    expect(() => ops.topK(x, 1, { axis: 2 })).toThrow(/^topK: axis 2/);
    expect(() => ops.sort(x, { axis: -3 })).toThrow(/^sort: axis -3/);
    expect(() => ops.argSort(x, { axis: 5 })).toThrow(/^argSort: axis 5/);
  });

  test("nothing is left behind", () => {
    const big = new Tensor(NDArray.ones([64, 64], { device }), { requiresGrad: true });
    const run = () => {
      const [values, index] = ops.sort(big, { axis: 0 });
      const [top, places] = ops.topK(values, 5);
      const y = top.sum();
      y.backward();
      for (const each of [values, index, top, places, y]) each.dispose();
      big.grad = null;
    };
    run();
    const before = liveBytes(device);
    for (let i = 0; i < 5; i++) run();
    expect(liveBytes(device)).toBeLessThanOrEqual(before);
  });
});
