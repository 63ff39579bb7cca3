import { expect, test } from "bun:test";
import { ops, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { Random } from "../support/random.ts";

checkFamily<{ axis: number }>("cum-sum", { cumSum: ({ axis }, a) => ops.cumSum(a, axis) });

onEachDevice("cumSum", (device) => {
  test("long sums keep float's precision", () => {
    const n = 300_000;
    const x = new Random(3).uniform(n, 0, 1);
    const expected = new Float32Array(n);
    let sum = 0;
    x.forEach((v, i) => (expected[i] = sum += v));
    close(ops.cumSum(tensor(x, { device }), 0), { shape: [n], values: expected }, { rtol: 1e-7 });
  });

  test("int32 stays int32, and wraps", () => {
    const y = ops.cumSum(tensor([2 ** 31 - 1, 1, 3], { dtype: "int32", device }), -1);
    expect([y.dtype, y.toArray()]).toEqual(["int32", [2 ** 31 - 1, -(2 ** 31), -(2 ** 31) + 3]]);
  });

  test("gradients agree with finite differences", () => {
    const inputs = [{ shape: [3, 4, 2], values: new Random(6).uniform(24) }];
    for (const axis of [0, 1, 2]) checkGradients((a) => ops.cumSum(ops.mul(a, a), axis), inputs, { device });
  });

  test("an axis that is not there is refused", () => {
    expect(() => ops.cumSum(tensor([[1]], { device }), 2)).toThrow(/^cumSum: axis 2 .*\(1, 1\)/);
    expect(() => ops.cumSum(tensor(1, { device }), 1)).toThrow(/^cumSum: axis 1/);
  });
});
