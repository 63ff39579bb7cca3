import { expect, test } from "bun:test";
import { ops, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { liveBytes } from "../support/live-bytes.ts";
import { Random } from "../support/random.ts";

checkFamily<{ scale: number }>("upsample", { upsample: ({ scale }, x) => ops.upsample(x, scale) });

onEachDevice("upsample", (device) => {
  test("repeats pixels exactly", () => {
    const x = tensor([0.1, -1e30, NaN, Infinity], { shape: [1, 1, 2, 2], device });
    const [a, b, c, d] = x.toTypedArray() as Float32Array;
    const row = [a, b, a, b, a, b, c, d, c, d, c, d];
    const y = ops.upsample(x, 3);
    expect(y.shape).toEqual([1, 3, 6, 2]);
    expect([...y.toTypedArray()]).toEqual([...row, ...row, ...row] as number[]);
  });

  test("gradients agree with finite differences", () => {
    const inputs = [{ shape: [2, 2, 3, 2], values: new Random(2).uniform(24) }];
    checkGradients((x) => ops.upsample(x!.flip([1]), 3), inputs, { device });
  });

  test("gives back what it took, but for its result", () => {
    const x = tensor(new Random(1).uniform(4096), { shape: [4, 16, 8, 8], device }).permute([0, 2, 1, 3]);
    const step = () => ops.upsample(x, 2).dispose();
    step();
    const before = liveBytes(device);
    for (let i = 0; i < 5; i++) step();
    expect(device.memory().live).toBeLessThanOrEqual(before);
  });
});
