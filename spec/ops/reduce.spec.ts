import { expect, test } from "bun:test";
import { ops, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { Random } from "../support/random.ts";

interface Options {
  axes?: number | number[];
  keepDims?: boolean;
}

checkFamily<Options>("reduction", {
  sum: (options, a) => ops.sum(a, options),
  mean: (options, a) => ops.mean(a, options),
  max: (options, a) => ops.max(a, options),
  logSumExp: (options, a) => ops.logSumExp(a, options),
});

onEachDevice("reductions", (device) => {
  test("without axes everything is reduced to a scalar", () => {
    const x = tensor([[1, 2], [3, 4]], { device }); // prettier-ignore
    expect([ops.sum(x).shape, ops.sum(x).item(), ops.mean(x).item(), ops.max(x).item()]).toEqual([[], 10, 2.5, 4]);
    expect(ops.sum(x, { keepDims: true }).shape).toEqual([1, 1]);
    close(ops.logSumExp(x), { shape: [], values: [Math.log([1, 2, 3, 4].reduce((sum, v) => sum + Math.exp(v), 0))] });
  });

  test("axes may be given alone", () => {
    const x = tensor([[1, 2, 3], [4, 5, 6]], { device }); // prettier-ignore
    for (const op of ["sum", "mean", "max", "logSumExp"] as const)
      for (const axes of [0, -1, [0], [1, 0], []]) {
        const long = ops[op](x, { axes }).toArray();
        expect([ops[op](x, axes).toArray(), x[op](axes).toArray(), x.data[op](axes).toArray()]).toEqual([
          long,
          long,
          long,
        ]);
      }
    expect(x.data.argMax(1).toArray()).toEqual([2, 2]);
  });

  test("the gradient of a sum over nothing is nothing", () => {
    const x = tensor([], { shape: [0, 3], device, requiresGrad: true });
    ops.sum(x).backward();
    expect(x.grad!.shape).toEqual([0, 3]);
  });

  test("logSumExp neither overflows nor loses small terms", () => {
    const x = tensor([[1e4, 1e4], [-1e4, -1e4], [88, -88], [0, -1e30]], { device, requiresGrad: true }); // prettier-ignore
    const y = ops.logSumExp(x, { axes: 1 });
    close(y, { shape: [4], values: [1e4 + Math.LN2, -1e4 + Math.LN2, 88, 0] }, { rtol: 1e-6 });
    ops.sum(y).backward();
    // float32 has 1e4 + log 2 to 5e-4 only, and the gradient is exp(x - y), as PyTorch's.
    close(x.grad!, { shape: [4, 2], values: [0.5, 0.5, 0.5, 0.5, 1, 0, 1, 0] }, { rtol: 1e-3 });
  });

  test("gradients agree with finite differences", () => {
    const inputs = [{ shape: [3, 4, 2], values: new Random(6).uniform(24) }];
    for (const axes of [0, [0, 2], [1], [0, 1, 2]]) {
      checkGradients((x) => ops.mul(ops.mean(x, { axes }), ops.sum(ops.mul(x, x), { axes })), inputs, { device });
      checkGradients((x) => ops.logSumExp(x, { axes, keepDims: true }), inputs, { device });
    }
  });
});
