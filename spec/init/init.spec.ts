import { expect, test } from "bun:test";
import type { Tensor } from "thimble";
import { init, manualSeed, nn, tensor } from "thimble";

import { close, closeNumber } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { load, type OpCase } from "../support/fixtures.ts";
import { liveBytes } from "../support/live-bytes.ts";

interface Creation {
  args: number[];
  dtype: "float32" | "int32";
}
const created = load<OpCase<Creation>[]>("creation");

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

  test.each(created.map((each) => [`${each.op}(${each.options.args}) ${each.options.dtype}`, each] as const))(
    "%s",
    (what, { op, options: { args, dtype }, outputs }) => {
      const [a, b, c] = args as [number, number, number];
      const options = { dtype, device };
      const calls = {
        arange: [() => init.arange(a, options), () => init.arange(a, b, options), () => init.arange(a, b, c, options)],
        linspace: [null, null, () => init.linspace(a, b, c, options)],
        eye: [() => init.eye(a, options), () => init.eye(a, b, options)],
      };
      const made = calls[op as keyof typeof calls][args.length - 1]!();
      expect([made.dtype, made.device, made.requiresGrad]).toEqual([dtype, device, false]);
      close(made, outputs[0]!, { what, rtol: 1e-7, atol: 1e-7 });
    },
  );

  test("rows of numbers: gradients if asked for, exact int32, and the last one of linspace is the end", () => {
    expect(init.arange(3, { device, requiresGrad: true }).requiresGrad).toBe(true);
    expect(init.linspace(0, 1, 3, { device, requiresGrad: true }).requiresGrad).toBe(true);
    expect(init.eye(2, { device, requiresGrad: true }).requiresGrad).toBe(true);
    expect(init.arange(16777217, 16777219, { dtype: "int32", device }).toArray()).toEqual([16777217, 16777218]);
    for (const steps of [2, 3, 7, 50, 1000])
      expect(init.linspace(-0.3, 0.7, steps).toTypedArray().at(-1)).toBe(Math.fround(0.7));
    expect(init.eye(300, 200, { device }).sum(0).toTypedArray()).toEqual(new Float32Array(200).fill(1));
  });

  test("rows of numbers that lead nowhere, or are none, are refused", () => {
    expect(() => init.arange(0, 5, 0)).toThrow(/^arange: the step must not be 0/);
    expect(() => init.arange(5, 0)).toThrow(/^arange: steps of 1 do not lead from 5 to 0/);
    expect(() => init.arange(-3)).toThrow(/^arange: steps of 1 do not lead from 0 to -3/);
    expect(() => init.arange(0, 5, -1)).toThrow(/^arange: steps of -1/);
    expect(() => init.arange(0, 1, 1e-10)).toThrow(/^arange: an array has at most/);
    expect(() => init.arange(0, 1, 0.25, { dtype: "int32" })).toThrow(/^arange: 0.25 is not a 32-bit integer/);
    expect(() => init.linspace(0, 1, 3, { dtype: "int32" })).toThrow(/^linspace: 0.5 is not a 32-bit integer/);
    expect(() => init.linspace(0, 1, -1)).toThrow(/^linspace: sizes must be non-negative integers/);
    expect(() => init.eye(2.5)).toThrow(/^eye: sizes must be non-negative integers/);
    for (const value of [NaN, Infinity]) {
      expect(() => init.arange(value)).toThrow(/^arange: the number must be a finite number/);
      expect(() => init.arange(0, 1, value)).toThrow(/^arange: step must be a finite number/);
      expect(() => init.linspace(0, value, 3)).toThrow(/^linspace: end must be a finite number/);
    }
  });

  test("zerosLike and onesLike have the shape, dtype and device, and options go before", () => {
    const ids = tensor([[1, 2, 3]], { dtype: "int32", device });
    const [zeros, ones] = [init.zerosLike(ids), init.onesLike(ids.data.transpose())];
    expect([zeros.toArray(), zeros.dtype, zeros.device]).toEqual([[[0, 0, 0]], "int32", device]);
    expect([ones.toArray(), ones.dtype, ones.device]).toEqual([[[1], [1], [1]], "int32", device]);
    const floats = init.onesLike(ids, { dtype: "float32", device: undefined, requiresGrad: true });
    expect([floats.dtype, floats.device, floats.requiresGrad]).toEqual(["float32", device, true]);
    expect(init.zerosLike(tensor(3, { device })).shape).toEqual([]);
    // @ts-expect-error: a shape is not alike to anything
    expect(() => init.zerosLike([2, 3])).toThrow(/^zerosLike: takes a tensor/);
    // @ts-expect-error: no such option
    expect(() => init.onesLike(ids, { shape: [2] })).toThrow(/^onesLike: there is no option 'shape'/);
  });

  test("randint: each number as often, up to the ends of int32", () => {
    manualSeed(11);
    const dice = init.randint(1, 7, [100, 600], { device });
    expect([dice.shape, dice.dtype]).toEqual([[100, 600], "int32"]);
    const counts = new Array<number>(8).fill(0);
    dice.toTypedArray().forEach((value) => counts[value]!++);
    const chi2 = counts.slice(1, 7).reduce((sum, n) => sum + (n - 10_000) ** 2 / 10_000, 0);
    expect([counts[0], counts[7]]).toEqual([0, 0]);
    expect(chi2).toBeLessThan(20.5); // 99.9% of five degrees of freedom
    const all = init.randint(-(2 ** 31), 2 ** 31, [1000], { device }).toTypedArray();
    expect(Math.min(...all)).toBeLessThan(-(2 ** 31) * 0.97);
    expect(Math.max(...all)).toBeGreaterThan(2 ** 31 * 0.97);
    expect(init.randint(5, 6, [3], { device }).toArray()).toEqual([5, 5, 5]);
    expect(init.randint(0, 9, [0, 2], { device }).shape).toEqual([0, 2]);
    const draw = () => init.randint(0, 1000, [77], { device }).toTypedArray();
    manualSeed(1);
    const first = [draw(), draw()];
    manualSeed(1);
    expect([draw(), draw()]).toEqual(first);
    expect(first[0]).not.toEqual(first[1]!);
    for (const [low, high] of [
      [0, 0],
      [3, 2],
      [0, 1.5],
      [NaN, 2],
      [0, 2 ** 31 + 1],
      [-(2 ** 31) - 1, 0],
    ] as const)
      // prettier-ignore
      expect(() => init.randint(low, high, [2])).toThrow(/^randint: takes 32-bit integers low < high/);
  });

  test("nothing is left behind", () => {
    const like = init.zeros([100], { device });
    const run = () =>
      [init.arange(100, { device }), init.eye(10, { device }), init.zerosLike(like), init.randint(0, 5, [100], { device })].forEach((each) => each.dispose()); // prettier-ignore
    run();
    const before = liveBytes(device);
    for (let i = 0; i < 5; i++) run();
    expect(liveBytes(device)).toBeLessThanOrEqual(before);
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
