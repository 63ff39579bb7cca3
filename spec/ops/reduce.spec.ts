import { expect, test } from "bun:test";
import { ops, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { liveBytes } from "../support/live-bytes.ts";
import { Random } from "../support/random.ts";

interface Options {
  axes?: number | number[];
  keepDims?: boolean;
  correction?: number;
}

checkFamily<Options>("reduction", {
  sum: (options, a) => ops.sum(a, options),
  mean: (options, a) => ops.mean(a, options),
  max: (options, a) => ops.max(a, options),
  min: (options, a) => ops.min(a, options),
  variance: (options, a) => ops.variance(a, options),
  std: (options, a) => ops.std(a, options),
  prod: (options, a) => ops.prod(a, options),
  logSumExp: (options, a) => ops.logSumExp(a, options),
  any: (options, a) => ops.any(a, options),
  all: (options, a) => ops.all(a, options),
});

onEachDevice("any and all", (device) => {
  test("are int32 without a gradient, of integers and for arrays too", () => {
    const x = tensor([[0, 1, -1], [0, 2, 0]], { device, requiresGrad: true }); // prettier-ignore
    expect([x.any(0).toArray(), x.all(0).toArray(), x.data.any(1).toArray()]).toEqual([[0, 1, 1], [0, 1, 0], [1, 1]]); // prettier-ignore
    expect([ops.any(x).dtype, ops.all(x).dtype, ops.any(x).requiresGrad]).toEqual(["int32", "int32", false]);
    const ints = tensor([[-(2 ** 31), 2 ** 31 - 1], [0, 1]], { dtype: "int32", device }); // prettier-ignore
    expect([ints.all(1).toArray(), ints.data.all().item(), ints.any({ axes: 0, keepDims: true }).toArray()]).toEqual([
      [1, 0],
      0,
      [[1, 1]],
    ]);
    expect([ints.any([]).toArray(), ints.all([]).toArray()]).toEqual([[[1, 1], [0, 1]], [[1, 1], [0, 1]]]); // prettier-ignore
  });

  test("more ones than float32 counts are not lost", () => {
    const ones = tensor(1, { device }).broadcastTo([2 ** 13, 2 ** 13]);
    expect([ones.any().item(), ones.all().item(), ones.sub(1).any().item(), ones.sub(1).all().item()]).toEqual([
      1, 1, 0, 0,
    ]);
  });

  test("what is wrong is refused, and nothing is left behind", () => {
    const x = tensor([[0, 1]], { device });
    expect(() => ops.any(x, 2)).toThrow(/^any: axis 2/);
    // @ts-expect-error: no such option
    expect(() => ops.all(x, { dim: 1 })).toThrow(/^all: there is no option 'dim'/);
    // @ts-expect-error: a list is no tensor
    expect(() => ops.any([1])).toThrow(/^any: .*must be a Tensor/);
    const run = () => [x.any(), x.all(0), x.isNaN(), x.isFinite()].forEach((each) => each.dispose());
    run();
    const before = liveBytes(device);
    for (let i = 0; i < 5; i++) run();
    expect(liveBytes(device)).toBeLessThanOrEqual(before);
  });
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
    for (const op of ["sum", "mean", "max", "min", "logSumExp"] as const)
      for (const axes of [0, -1, [0], [1, 0], []]) {
        const long = ops[op](x, { axes }).toArray();
        expect([ops[op](x, axes).toArray(), x[op](axes).toArray(), x.data[op](axes).toArray()]).toEqual([
          long,
          long,
          long,
        ]);
      }
    expect(x.data.argMax(1).toArray()).toEqual([2, 2]);
    expect([ops.variance(x, 0).toArray(), x.std(1).toArray()]).toEqual([[4.5, 4.5, 4.5], [1, 1]]); // prettier-ignore
  });

  test("indices of extremes are int32 without gradient, the first of equals, or of NaN", () => {
    const x = tensor([[3, 1, 1], [NaN, -Infinity, NaN], [0, 7, 7]], { device, requiresGrad: true }); // prettier-ignore
    const [most, least] = [ops.argMax(x, 1), ops.argMin(x, 1)];
    expect([most.toArray(), least.toArray()]).toEqual([[0, 0, 1], [1, 0, 0]]); // prettier-ignore
    expect([most.dtype, least.dtype, most.requiresGrad, least.requiresGrad]).toEqual(["int32", "int32", false, false]);
    expect([ops.argMin(x, 0).toArray(), x.argMin(0).toArray()]).toEqual([[1, 1, 1], [1, 1, 1]]); // prettier-ignore
    expect([x.slice(0).argMax().item(), x.slice(0).argMin({ keepDims: true }).toArray()]).toEqual([0, [1]]);
  });

  test("the extremes of integers are exact, to the ends of their range", () => {
    const x = tensor([[-(2 ** 31), 5], [2 ** 31 - 1, 16777217]], { dtype: "int32", device }); // prettier-ignore
    expect([ops.min(x).item(), ops.min(x, 1).toArray(), ops.min(x, 0).toArray()]).toEqual([
      -(2 ** 31),
      [-(2 ** 31), 16777217],
      [-(2 ** 31), 5],
    ]);
    expect([ops.min(x).dtype, ops.argMin(x).item(), ops.argMax(x).item()]).toEqual(["int32", 0, 2]);
  });

  test("the gradient of a product has no division: not by zeros, nor of what overflows", () => {
    for (const [values, gradient] of [
      [[2, 0, 3], [0, 6, 0]],
      [[0, 5, 0], [0, 0, 0]],
      [[1e30, 1e30, 1e-35], [1e-5, 1e-5, Infinity]],
      [[-0, 4], [4, -0]],
      [[7], [1]],
      [[], []],
    ] as const) {
      const x = tensor(Float32Array.from(values), { device, requiresGrad: true });
      ops.prod(x).backward();
      close(x.grad!, { shape: [values.length], values: gradient }, { rtol: 1e-5, atol: 0 });
    } // prettier-ignore
    const inputs = [{ shape: [3, 5, 2], values: new Random(7).uniform(30) }];
    for (const axes of [0, 1, [0, 1], [1, 2]])
      checkGradients((a) => ops.prod(ops.mul(a, a), { axes, keepDims: true }), inputs, { device });
  });

  test("the product of integers is one, and wraps; that of nothing is 1", () => {
    const x = tensor([[65537, 65537], [-3, 2]], { dtype: "int32", device }); // prettier-ignore
    const y = ops.prod(x, 1);
    expect([y.dtype, y.toArray(), x.prod(-2).toArray()]).toEqual(["int32", [131073, -6], [-196611, 131074]]);
    const none = tensor([], { shape: [0, 2], device, requiresGrad: true });
    expect([none.prod(0).toArray(), none.prod(1).toArray(), none.prod().item()]).toEqual([[1, 1], [], 1]);
    expect(none.to({ dtype: "int32" }).prod().dtype).toBe("int32");
    expect(tensor(3, { device }).prod(0).item()).toBe(3);
    expect(() => ops.prod(x, 2)).toThrow(/^prod: axis 2/);
    expect(() => ops.prod(x, { axes: 1, keepDims: 1 as never })).toThrow(/^prod: keepDims/);
  });

  test("there is no extreme of nothing", () => {
    const x = tensor([], { shape: [0, 3], device });
    for (const op of ["max", "argMax"] as const) expect(() => ops[op](x)).toThrow(new RegExp(`^${op}: .*no maximum`));
    for (const op of ["min", "argMin"] as const) expect(() => ops[op](x)).toThrow(new RegExp(`^${op}: .*no minimum`));
    expect(ops.argMin(x, 1).shape).toEqual([0]);
  });

  test("the variance of what is far from zero is as exact as its deviations", () => {
    const x = tensor([10000, 10001, 10002, 10003], { device });
    close(ops.variance(x), { shape: [], values: [5 / 3] }, { rtol: 1e-6 });
    const still = tensor([[5, 5], [1, 2]], { device, requiresGrad: true }); // prettier-ignore
    still.std(1).log().sum().backward(); // an infinite gradient where the deviation is 0
    close(still.grad!, { shape: [2, 2], values: [0, 0, -1, 1] });
    close(ops.std(x, { correction: 0 }), { shape: [], values: [Math.sqrt(1.25)] }, { rtol: 1e-6 });
    expect(ops.variance(tensor(3, { device }), { correction: 0 }).item()).toBe(0);
    expect(() => ops.variance(x, { correction: -1 })).toThrow(/^variance: the correction/);
    expect(() => ops.std(tensor([1, 2], { dtype: "int32", device }))).toThrow(/^std: .*float32/);
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
      checkGradients((x) => ops.variance(x, { axes }), inputs, { device });
      checkGradients((x) => ops.std(x, { axes, keepDims: true, correction: 0.5 }), inputs, { device });
    }
  });
});
