import { expect, test } from "bun:test";
import { manualSeed, ops, tensor } from "thimble";

import { closeNumber } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";

onEachDevice("dropout", (device) => {
  const ones = (count: number, requiresGrad = false): ReturnType<typeof tensor> =>
    tensor(new Float32Array(count).fill(1), { device, requiresGrad });

  test("keeps a share 1 - p of the elements, scaled by 1 / (1 - p)", () => {
    manualSeed(1);
    for (const p of [0.1, 0.5, 0.9]) {
      const kept = ops
        .dropout(ones(100_000), p)
        .toTypedArray()
        .filter((value) => value !== 0);
      expect(kept.every((value) => value === Math.fround(1 / (1 - p)))).toBe(true);
      closeNumber(kept.length / 100_000, 1 - p, { atol: 0.008 }); // five standard deviations
    }
  });

  test("p = 0 keeps everything, p = 1 nothing", () => {
    expect(ops.dropout(ones(9), 0).toTypedArray()).toEqual(new Float32Array(9).fill(1));
    const x = ones(9, true);
    const y = ops.dropout(x, 1);
    expect(y.toTypedArray()).toEqual(new Float32Array(9));
    ops.sum(y).backward();
    expect(x.grad!.toTypedArray()).toEqual(new Float32Array(9));
  });

  test("the gradient passes where the element was kept, scaled as it was", () => {
    const x = ones(1003, true);
    const y = ops.dropout(x, 0.4);
    ops.sum(y).backward();
    expect(x.grad!.toTypedArray()).toEqual(y.toTypedArray());
  });

  test("the gradient keeps the same elements after other random draws", () => {
    const x = ones(64, true);
    const y = ops.dropout(x, 0.5);
    ops.dropout(ones(64), 0.5);
    manualSeed(99);
    ops.sum(y).backward();
    expect(x.grad!.toTypedArray()).toEqual(y.toTypedArray());
  });

  test("repeats with the seed, differs from call to call, and does not see the layout", () => {
    const draw = (): ArrayLike<number> => ops.dropout(ones(256), 0.5).toTypedArray();
    manualSeed(7);
    const [first, second] = [draw(), draw()];
    expect(first).not.toEqual(second);
    manualSeed(7);
    expect([draw(), draw()]).toEqual([first, second]);
    manualSeed(7);
    expect(ops.dropout(ones(1).broadcastTo([256]), 0.5).toTypedArray()).toEqual(new Float32Array(first));
  });
});
