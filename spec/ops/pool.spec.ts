import { expect, test } from "bun:test";
import { noGrad, ops, type Tensor, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { liveBytes } from "../support/live-bytes.ts";
import { Random } from "../support/random.ts";

type Options = ops.PoolOptions & { kernelSize: number };

checkFamily<Options>("pool", {
  maxPool: ({ kernelSize, ...options }, x) => ops.maxPool(x, kernelSize, options),
  avgPool: ({ kernelSize, ...options }, x) => ops.avgPool(x, kernelSize, options),
});

onEachDevice("pooling", (device) => {
  const images = (values: ArrayLike<number>, shape: number[], requiresGrad = false): Tensor =>
    tensor(Float32Array.from(values), { shape, device, requiresGrad });

  test("windows touch by default", () => {
    const x = images([1, 5, 2, 4, 3, 8, 7, 0, 9, 9, 9, 9], [1, 3, 4, 1]);
    const [max, avg] = [ops.maxPool(x, 2), ops.avgPool(x, 2)];
    expect([max.shape, max.toTypedArray()]).toEqual([[1, 1, 2, 1], new Float32Array([8, 7])]);
    expect([avg.shape, avg.toTypedArray()]).toEqual([[1, 1, 2, 1], new Float32Array([4.25, 3.25])]);
  });

  test("where elements are equal, the first gets the gradient", () => {
    const x = images([2, 2, 2, 1, 2, 2], [1, 2, 3, 1], true);
    ops.maxPool(x, 2, { stride: 1 }).backward(tensor([1, 10], { shape: [1, 1, 2, 1], device }));
    expect(x.grad!.toTypedArray()).toEqual(new Float32Array([1, 10, 0, 0, 0, 0]));
  });

  test("a NaN gets the gradient of every window that it is in, and an infinite gradient stays where it belongs", () => {
    const x = images([1, NaN, 3, 4, 5, 6], [1, 2, 3, 1], true);
    const y = ops.maxPool(x, 2, { stride: 1 });
    expect([...y.toTypedArray()]).toEqual([NaN, NaN]);
    y.backward(tensor([Infinity, 1], { shape: [1, 1, 2, 1], device }));
    expect(x.grad!.toTypedArray()).toEqual(new Float32Array([0, Infinity, 0, 0, 0, 0]));
  });

  test("a window in which all is -Infinity", () => {
    const x = images([-Infinity, -Infinity, -Infinity, -Infinity], [1, 2, 2, 1], true);
    const y = ops.maxPool(x, 2, { stride: 2, padding: 1 });
    expect([y.shape, y.toTypedArray()]).toEqual([[1, 2, 2, 1], new Float32Array(4).fill(-Infinity)]);
    y.backward(tensor([1, 2, 3, 4], { shape: [1, 2, 2, 1], device }));
    expect(x.grad!.toTypedArray()).toEqual(new Float32Array([1, 2, 3, 4]));
  });

  test("no channels, and no images", () => {
    for (const shape of [
      [2, 4, 4, 0],
      [0, 4, 4, 3],
    ]) {
      for (const pool of [ops.maxPool, ops.avgPool]) {
        const x = images([], shape, true);
        const y = pool(x, 2);
        expect(y.shape).toEqual([shape[0]!, 2, 2, shape[3]!]);
        y.sum().backward();
        expect(x.grad!.shape).toEqual(shape);
      }
    }
  });

  test("a large kernel on a small image", () => {
    const x = images([1, 2, 3, 4], [1, 2, 2, 1], true);
    const k = 2 ** 17;
    const y = ops.maxPool(x, k, { stride: 2, padding: k / 2 });
    expect([y.shape, y.toTypedArray()]).toEqual([[1, 2, 2, 1], new Float32Array(4).fill(4)]);
    y.sum().backward();
    expect(x.grad!.toTypedArray()).toEqual(new Float32Array([0, 0, 0, 4]));
  });

  test("large images, whose gradient is written past the caches", () => {
    // 2 × 2 windows of the numbers 0, 1, 2, 3 in the order of a pixel's place in its window.
    const [n, h, w, c] = [1, 512, 514, 16];
    const values = new Float32Array(n * h * w * c);
    for (let i = 0; i < values.length; i++) values[i] = (Math.floor(i / (w * c)) % 2) * 2 + (Math.floor(i / c) % 2);
    const x = images(values, [n, h, w, c], true);
    const wrong = (found: Float32Array, wanted: (at: number) => number) =>
      found.findIndex((value, i) => value !== wanted(i));
    const max = ops.maxPool(x, 2);
    expect(wrong(max.toTypedArray() as Float32Array, () => 3)).toBe(-1);
    max.sum().backward();
    expect(wrong(x.grad!.toTypedArray() as Float32Array, (i) => (values[i] === 3 ? 1 : 0))).toBe(-1);
    x.grad = null;
    const avg = ops.avgPool(x, 2);
    expect(wrong(avg.toTypedArray() as Float32Array, () => 1.5)).toBe(-1);
    avg.sum().backward();
    expect(wrong(x.grad!.toTypedArray() as Float32Array, () => 0.25)).toBe(-1);
  }, 120_000);

  test("gradients agree with finite differences", () => {
    const random = new Random(3);
    // The maxima must not change within a step: a permutation of numbers 0.1 apart.
    const numbers = random.shuffle(Array.from({ length: 120 }, (_, i) => i / 10));
    const distinct = [{ shape: [2, 5, 4, 3], values: numbers }];
    checkGradients((x) => ops.maxPool(x, 3, { stride: 2, padding: 1 }), distinct, { device });
    checkGradients((x) => ops.maxPool(x, 2, { stride: 1 }), distinct, { device });
    const inputs = [{ shape: [2, 5, 4, 3], values: random.uniform(120) }];
    checkGradients((x) => ops.avgPool(x, 3, { stride: 2, padding: 1 }), inputs, { device });
    checkGradients((x) => ops.avgPool(x, 2, { stride: 1 }), inputs, { device });
  });

  test("nothing is kept but the result and, where a gradient is wanted, an index", () => {
    const x = images(new Random(4).uniform(4 * 32 * 32 * 16), [4, 32, 32, 16]);
    const view = x.permute([0, 2, 1, 3]);
    const step = () =>
      noGrad(() => {
        for (const pool of [ops.maxPool, ops.avgPool]) pool(view, 2).dispose();
      });
    step();
    const before = liveBytes(device);
    for (let i = 0; i < 5; i++) step();
    expect(device.memory().live).toBeLessThanOrEqual(before);
    const leaf = images(x.toTypedArray(), [4, 32, 32, 16], true);
    const start = liveBytes(device);
    const y = ops.maxPool(leaf.permute([0, 2, 1, 3]), 2);
    expect(device.memory().live - start).toBeLessThanOrEqual(2 * 4 * y.size + 4096);
    y.sum().backward();
    close(leaf.grad!.sum(), { shape: [], values: [y.size] });
  });
});
