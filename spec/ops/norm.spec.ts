import { expect, test } from "bun:test";
import { ops, type Tensor, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { Random } from "../support/random.ts";

checkFamily<{ numGroups: number; eps: number }>("norm", {
  groupNorm: ({ numGroups, eps }, x, weight: Tensor | undefined, bias) =>
    ops.groupNorm(x, numGroups, weight, bias, { eps }),
  rmsNorm: ({ eps }, x, weight) => ops.rmsNorm(x, weight, { eps }),
});

onEachDevice("group normalisation", (device) => {
  const random = new Random(3);
  const values = (...shape: number[]) => ({ shape, values: random.uniform(shape.reduce((m, n) => m * n, 1)) });

  test("gradients agree with finite differences", () => {
    const inputs = [values(2, 3, 2, 6), values(6), values(6)];
    for (const groups of [1, 2, 6])
      checkGradients((x, w, b) => ops.groupNorm(x, groups, w, b), inputs, { device, step: 2e-3 });
  });

  test("one group is the layer normalisation of each image", () => {
    const x = tensor(values(3, 4, 5).values, { shape: [3, 4, 5], device });
    const rows = ops.layerNorm(x.reshape([3, 20]), tensor(Array(20).fill(1), { device }), tensor(Array(20).fill(0), { device })); // prettier-ignore
    close(ops.groupNorm(x, 1), { shape: [3, 4, 5], values: rows.toTypedArray() });
  });

  test("a large mean costs the variance nothing", () => {
    const [rows, channels] = [500, 4];
    const stored = Float32Array.from(random.uniform(rows * channels), (value) => 1000 + value);
    const y = ops.groupNorm(tensor(stored, { shape: [1, rows, channels], device }), 2);
    const expected = Array.from(stored, (value, i) => {
      const group = stored.filter((_, k) => (k % channels) >> 1 === (i % channels) >> 1);
      const mean = group.reduce((sum, v) => sum + v / group.length, 0);
      const variance = group.reduce((sum, v) => sum + (v - mean) ** 2 / group.length, 0);
      return (value - mean) / Math.sqrt(variance + 1e-5);
    });
    close(y, { shape: [1, rows, channels], values: expected }, { atol: 2e-4 });
  });

  test("nothing, and a group of a single value, which becomes the bias", () => {
    const weight = tensor([2, 3], { device, requiresGrad: true });
    for (const shape of [[0, 3, 2], [2, 0, 2]]) {
      const x = tensor([], { shape, device, requiresGrad: true });
      ops.groupNorm(x, 2, weight).sum().backward();
      expect([x.grad!.shape, weight.grad!.toArray()]).toEqual([shape, [0, 0]]);
    } // prettier-ignore
    const x = tensor([[5, -7]], { device, requiresGrad: true }); // prettier-ignore
    const y = ops.groupNorm(x, 2, weight, tensor([0.5, 1.5], { device }));
    y.backward(tensor([[1, 1]], { device })); // prettier-ignore
    expect([y.toArray(), x.grad!.toArray()]).toEqual([[[0.5, 1.5]], [[0, 0]]]); // prettier-ignore
  });

  test("NaN stays in its group, forward and backward", () => {
    const x = tensor([[NaN, 1, 2, 4], [1, 2, 3, 4]], { device, requiresGrad: true }); // prettier-ignore
    const y = ops.groupNorm(x, 2);
    expect(Array.from(y.toTypedArray(), Number.isNaN)).toEqual([1, 1, 0, 0, 0, 0, 0, 0].map(Boolean));
    y.sum().backward();
    expect(Array.from(x.grad!.toTypedArray(), Number.isNaN)).toEqual([1, 1, 0, 0, 0, 0, 0, 0].map(Boolean));
  });
});
