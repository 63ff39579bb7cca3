import { expect, test } from "bun:test";
import type { Tensor } from "thimble";
import { init, manualSeed, nn, tensor } from "thimble";

import { closeNumber } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";

onEachDevice("init", (device) => {
  const moments = (t: Tensor): { mean: number; std: number; least: number; most: number } => {
    const values = Array.from(t.toTypedArray());
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    const [least, most] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
    return { mean, std: Math.sqrt(variance), least, most };
  };
  const count = 40_000;
  /** Five standard errors of a mean, and of a standard deviation (generously, for both distributions). */
  const checkSpread = (t: Tensor, mean: number, std: number): void => {
    const found = moments(t);
    closeNumber(found.mean, mean, { rtol: 0, atol: (5 * std) / Math.sqrt(t.size), what: "mean" });
    closeNumber(found.std, std, { rtol: 5 / Math.sqrt(t.size), atol: 0, what: "standard deviation" });
  };
  const checkBounds = (t: Tensor, low: number, high: number): void => {
    const { least, most } = moments(t);
    expect(least).toBeGreaterThanOrEqual(Math.fround(low));
    expect(most).toBeLessThanOrEqual(Math.fround(high));
    const margin = ((high - low) * 20) / t.size; // the range is used to its ends
    expect(least).toBeLessThan(low + margin);
    expect(most).toBeGreaterThan(high - margin);
  };

  test("uniform and normal", () => {
    manualSeed(1);
    checkBounds(init.uniform([count], { device }), 0, 1);
    checkSpread(init.uniform([count], { low: -3, high: 5, device }), 1, 8 / Math.sqrt(12));
    checkBounds(init.uniform([count], { low: -3, high: 5, device }), -3, 5);
    checkSpread(init.normal([count], { device }), 0, 1);
    checkSpread(init.normal([200, 200], { mean: 7, std: 0.5, device }), 7, 0.5);
  });

  test("normal numbers have normal tails, and neighbours do not depend on one another", () => {
    manualSeed(2);
    const values = init.normal([100_000], { device }).toTypedArray();
    const beyond = (limit: number): number =>
      Array.from(values).filter((value) => Math.abs(value) > limit).length / 100_000;
    closeNumber(beyond(1), 0.3173, { atol: 0.008 });
    closeNumber(beyond(2), 0.0455, { atol: 0.0035 });
    closeNumber(beyond(3), 0.0027, { atol: 0.0009 });
    for (const lag of [1, 2, 4, 64]) {
      let product = 0;
      for (let i = lag; i < values.length; i++) product += values[i]! * values[i - lag]!;
      closeNumber(product / values.length, 0, { atol: 0.016, what: `correlation at distance ${lag}` });
    }
  });

  test("constants", () => {
    expect(init.zeros([2, 2], { device }).toArray()).toEqual([[0, 0], [0, 0]]); // prettier-ignore
    expect(init.ones([3], { device }).toArray()).toEqual([1, 1, 1]);
    expect(init.constant([2], -2.5, { device }).toArray()).toEqual([-2.5, -2.5]);
    expect(init.ones([1], { device, requiresGrad: true }).requiresGrad).toBe(true);
  });

  test("oneHot rows have their one at the id", () => {
    const ids = tensor([[2, 0], [1, 1]], { dtype: "int32", device }); // prettier-ignore
    expect(init.oneHot(3, ids, { device }).toArray()).toEqual([[[0, 0, 1], [1, 0, 0]], [[0, 1, 0], [0, 1, 0]]]); // prettier-ignore
    expect(init.oneHot(2, [1], { device }).toArray()).toEqual([[0, 1]]);
    for (const id of [3, -1]) expect(() => init.oneHot(3, [id])).toThrow(new RegExp(`oneHot.*${id}`));
  });

  const [fanIn, fanOut] = [100, 400];
  test("xavier: the variance is 2 / (fanIn + fanOut) times gain²", () => {
    manualSeed(3);
    const std = Math.sqrt(2 / (fanIn + fanOut));
    for (const gain of [1, 2.5]) {
      const uniform = init.xavierUniform(fanIn, fanOut, { gain, device });
      expect(uniform.shape).toEqual([fanIn, fanOut]);
      checkSpread(uniform, 0, gain * std);
      checkBounds(uniform, -gain * std * Math.sqrt(3), gain * std * Math.sqrt(3));
      checkSpread(init.xavierNormal(fanIn, fanOut, { gain, device }), 0, gain * std);
    }
  });

  test("kaiming: the variance is 2 / fanIn for ReLU", () => {
    manualSeed(4);
    const std = Math.sqrt(2 / fanIn);
    const uniform = init.kaimingUniform(fanIn, fanOut, { device });
    expect(uniform.shape).toEqual([fanIn, fanOut]);
    checkSpread(uniform, 0, std);
    checkBounds(uniform, -std * Math.sqrt(3), std * Math.sqrt(3));
    checkSpread(init.kaimingNormal(fanIn, fanOut, { device }), 0, std);
    checkSpread(init.kaimingNormal(fanIn, fanOut, { nonlinearity: "relu", device }), 0, std);
  });

  test("a convolution's shape sets the fans: k · k · channels", () => {
    manualSeed(5);
    const shape = [3, 3, 32, 64];
    for (const make of [init.kaimingUniform, init.kaimingNormal]) {
      const t = make(32, 64, { shape, device });
      expect(t.shape).toEqual(shape);
      checkSpread(t, 0, Math.sqrt(2 / (9 * 32)));
    }
    for (const make of [init.xavierUniform, init.xavierNormal]) {
      checkSpread(make(32, 64, { shape, device }), 0, Math.sqrt(2 / (9 * 32 + 9 * 64)));
    }
  });

  test("the same seed gives the same numbers, each call others", () => {
    const draw = (): ArrayLike<number>[] => [
      init.uniform([50], { device }).toTypedArray(), init.normal([51], { device }).toTypedArray(),
      init.xavierNormal(5, 6, { device }).toTypedArray(), init.kaimingUniform(5, 6, { device }).toTypedArray(),
    ]; // prettier-ignore
    manualSeed(42);
    const first = draw();
    const second = draw();
    manualSeed(42);
    expect([draw(), draw()]).toEqual([first, second]);
    expect(first[0]).not.toEqual(second[0]!);
    manualSeed(43);
    expect(draw()[0]).not.toEqual(first[0]!);
    manualSeed(-1);
    expect(draw()[0]).not.toEqual(first[0]!);
  });

  test("modules start as the homework says", () => {
    manualSeed(6);
    const linear = new nn.Linear(200, 300, { device });
    checkBounds(linear.weight, -Math.sqrt(6 / 200), Math.sqrt(6 / 200));
    const conv = new nn.Conv(16, 512, 5, { device });
    checkBounds(conv.weight, -Math.sqrt(6 / 400), Math.sqrt(6 / 400));
    const bound = 1 / Math.sqrt(16 * 25);
    expect(moments(conv.bias!).most).toBeLessThanOrEqual(bound);
    expect(moments(conv.bias!).least).toBeGreaterThanOrEqual(-bound);
    checkSpread(conv.bias!, 0, bound / Math.sqrt(3));
    const norm = new nn.BatchNorm2d(2, { device });
    expect(Object.values(norm.stateDict()).map((t) => t.toArray())).toEqual([[1, 1], [0, 0], [0, 0], [1, 1]]); // prettier-ignore
  });

  test("a nonlinearity chooses the gain, as PyTorch's calculate_gain", () => {
    const most = (make: typeof init.xavierUniform, options: Parameters<typeof init.xavierUniform>[2]): number => {
      manualSeed(0);
      return make(50, 30, { device, ...options })
        .data.abs()
        .max()
        .item();
    };
    const gains = { linear: 1, sigmoid: 1, tanh: 5 / 3, relu: Math.SQRT2 } as const;
    for (const make of [init.xavierUniform, init.xavierNormal, init.kaimingUniform, init.kaimingNormal]) {
      const one = most(make, { gain: 1 });
      for (const [nonlinearity, gain] of Object.entries(gains) as [keyof typeof gains, number][])
        closeNumber(most(make, { nonlinearity }) / one, gain, { rtol: 1e-5 });
      closeNumber(most(make, {}) / one, make.name.startsWith("xavier") ? 1 : Math.SQRT2, { rtol: 1e-5 });
      closeNumber(most(make, { gain: 3, nonlinearity: "tanh" }) / one, 3, { rtol: 1e-5 });
    }
  });
});
