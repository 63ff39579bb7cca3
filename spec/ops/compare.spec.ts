import { expect, test } from "bun:test";
import { ArgumentError, NDArray, noGrad, ops, ShapeError, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import type { Recorded } from "../support/fixtures.ts";
import { liveBytes } from "../support/live-bytes.ts";
import { Random } from "../support/random.ts";

interface Options {
  scalar?: number;
  min?: Recorded["values"][number];
  max?: Recorded["values"][number];
}

const comparisons = ["equal", "notEqual", "less", "lessEqual", "greater", "greaterEqual"] as const;
const holds = {
  equal: (a: number, b: number) => a === b,
  notEqual: (a: number, b: number) => a !== b,
  less: (a: number, b: number) => a < b,
  lessEqual: (a: number, b: number) => a <= b,
  greater: (a: number, b: number) => a > b,
  greaterEqual: (a: number, b: number) => a >= b,
};

checkFamily<Options>("compare", {
  ...Object.fromEntries(comparisons.map((op) => [op, ({ scalar }: Options, a, b) => ops[op](a, scalar ?? b)])),
  clamp: ({ min = NaN, max = NaN }, a) => ops.clamp(a, Number(min), Number(max)),
  isNaN: (_, a) => ops.isNaN(a),
  isFinite: (_, a) => ops.isFinite(a),
  where: (_, condition, a, b) => ops.where(condition, a, b),
});

onEachDevice("isNaN and isFinite", (device) => {
  test("are int32 without a gradient, of integers too, and the same for arrays", () => {
    const x = tensor([NaN, -Infinity, Infinity, 0, -3e38], { device, requiresGrad: true });
    const [nan, finite] = [ops.isNaN(x), ops.isFinite(x)];
    expect([nan.toArray(), finite.toArray()]).toEqual([[1, 0, 0, 0, 0], [0, 0, 0, 1, 1]]); // prettier-ignore
    expect([nan.dtype, nan.requiresGrad, finite.dtype, finite.requiresGrad]).toEqual(["int32", false, "int32", false]);
    expect([x.data.isNaN().toArray(), x.data.isFinite().toArray()]).toEqual([nan.toArray(), finite.toArray()]);
    const ints = tensor([2147483647, -2147483648, 0], { dtype: "int32", device });
    expect([ops.isNaN(ints).toArray(), ops.isFinite(ints).toArray()]).toEqual([[0, 0, 0], [1, 1, 1]]); // prettier-ignore
    expect([x.isNaN().any().item(), x.isFinite().all().item()]).toEqual([1, 0]);
    // @ts-expect-error: a list is no tensor
    expect(() => ops.isNaN([1])).toThrow(/^isNaN: .*must be a Tensor/);
    // @ts-expect-error: nor is a number
    expect(() => ops.isFinite(1)).toThrow(/^isFinite: .*must be a Tensor/);
  });
});

onEachDevice("comparisons", (device) => {
  const values = [2, -3, 0, 7, 2147483647, -2147483648];
  for (const op of comparisons) {
    test(`${op}: a number on either side, whole numbers exactly, and no gradient`, () => {
      const f = (a: number, b: number) => Number(holds[op](a, b));
      const x = tensor([0.5, -1, 2], { device, requiresGrad: true });
      expect(ops[op](x, 0.5).toArray()).toEqual([0.5, -1, 2].map((v) => f(v, 0.5)));
      expect(ops[op](0.5, x).toArray()).toEqual([0.5, -1, 2].map((v) => f(0.5, v)));
      expect(ops[op](x, x).requiresGrad).toBe(false);
      const ints = tensor(values, { dtype: "int32", device });
      const others = tensor([...values.slice(1), 16777217], { dtype: "int32", device });
      const expected = values.map((v, i) => f(v, [...values.slice(1), 16777217][i]!));
      expect(ops[op](ints, others).toArray()).toEqual(expected);
      expect(ops[op](ints, others).dtype).toBe("int32");
      expect(ops[op](ints, 7).toArray()).toEqual(values.map((v) => f(v, 7)));
      expect(ops[op](ints, 6.5).toArray()).toEqual(values.map((v) => f(v, 6.5)));
      expect([ops[op](x, 0.5).dtype, x.data[op](x.data).dtype]).toEqual(["int32", "int32"]); // masks
      expect(ints.data[op](others.data).toArray()).toEqual(expected);
    });
  }

  test("what is no tensor, and shapes that do not broadcast, are refused", () => {
    expect(() => ops.less(1, 2)).toThrow(ArgumentError);
    // @ts-expect-error: a list is no tensor
    expect(() => ops.less(tensor([1], { device }), [1])).toThrow("must be a Tensor");
    expect(() => ops.greaterEqual(tensor([1, 2], { device }), tensor([1, 2, 3], { device }))).toThrow("greaterEqual");
  });
});

onEachDevice("where", (device) => {
  test("takes numbers, keeps infinities and -0, and lets no NaN of the other side through", () => {
    const mask = tensor([1, 0, -0, NaN, 2], { device });
    expect(ops.where(mask, -Infinity, 3).toArray()).toEqual([-Infinity, 3, 3, -Infinity, -Infinity]);
    expect(Object.is((ops.where(mask, -0, NaN).toArray() as number[])[0], -0)).toBe(true);
    const x = tensor([1, 2, 3, 4, 5], { device, requiresGrad: true });
    const y = ops.where(mask, x.log(), NaN);
    ops.where(mask, y, 0).sum().backward();
    close(x.grad!, { shape: [5], values: [1, 0, 0, 1 / 4, 1 / 5] });
  });

  test("a masked attention row: the gradient is that of the kept scores alone", () => {
    const scores = tensor([[1, 2, 3]], { device, requiresGrad: true });
    const mask = tensor([[1, 1, 0]], { device, dtype: "int32" });
    const weights = ops.where(mask, scores, -Infinity).softmax();
    const [a, b] = [1, 2].map((v) => Math.exp(v) / (Math.exp(1) + Math.exp(2))) as [number, number];
    close(weights, { shape: [1, 3], values: [a, b, 0] });
    ops.sum(ops.mul(weights, tensor([[1, 0, 5]], { device }))).backward();
    close(scores.grad!, { shape: [1, 3], values: [a * b, -a * b, 0] });
  });

  test("dtypes: whole numbers stay int32 beside an int32 array, and the smallest is no zero", () => {
    const ints = tensor([1, -2147483648, 16777217], { dtype: "int32", device });
    const chosen = ops.where(ints, ints, 0);
    expect([chosen.dtype, chosen.toArray()]).toEqual(["int32", [1, -2147483648, 16777217]]);
    expect(ops.where(ints, ints, 0.5).dtype).toBe("float32");
    expect(ops.where(ints, 1, 0).dtype).toBe("float32");
    expect(ops.where(ints, tensor([0.5], { device }), ints).toArray()).toEqual([0.5, 0.5, 0.5]);
  });

  test("agrees with a loop on large, transposed and broadcast operands", () => {
    const [rows, cols] = [301, 203];
    const [u, v, w] = [1, 2, 3].map((seed) => new Random(seed).uniform(rows * cols, -1, 1)) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const mask = NDArray.from(u, { shape: [cols, rows], device })
      .transpose()
      .relu();
    const a = NDArray.from(v, { shape: [rows, cols], device });
    const b = NDArray.from(w.subarray(0, rows), { shape: [rows, 1], device });
    const out = mask.where(a, b).toTypedArray();
    const expected = out.map((_, i) => {
      const [row, col] = [Math.floor(i / cols), i % cols];
      return u[col * rows + row]! > 0 ? v[i]! : w[row]!;
    });
    expect(out).toEqual(expected);
  });

  test("frees what it made on the way", () => {
    const [mask, x] = [tensor([1, 0], { device }), tensor([1, 2], { device })];
    ops.where(mask, 3, x).dispose();
    const before = liveBytes(device);
    noGrad(() => ops.where(mask, 3, x)).dispose();
    x.clamp(1.5, 2).dispose();
    expect(liveBytes(device)).toBeLessThanOrEqual(before);
  });

  test("errors name the operation and what is wrong", () => {
    const x = tensor([1, 2], { device });
    expect(() => ops.where(x, x, tensor([1, 2, 3], { device }))).toThrow("where");
    expect(() => ops.where(tensor([1, 2, 3], { device }), x, 0)).toThrow(ShapeError);
    // @ts-expect-error: no boolean
    expect(() => ops.where(true, x, 0)).toThrow("the condition must be a Tensor");
    // @ts-expect-error: no text
    expect(() => x.data.where(1, "0")).toThrow("must be an array or a number");
    expect(() => ops.clamp(x, 2, 1)).toThrow("max must be a number in [2, Infinity]");
    expect(() => ops.clamp(x, NaN)).toThrow(ArgumentError);
  });
});

onEachDevice("minimum, clamp and the activations", (device) => {
  test("whole numbers stay int32", () => {
    const ints = tensor([5, -7, 2147483647], { dtype: "int32", device });
    expect(ops.minimum(ints, 3).toArray()).toEqual([3, -7, 3]);
    expect(ops.minimum(3, ints).dtype).toBe("int32");
    const clamped = ints.clamp(-2);
    expect([clamped.dtype, clamped.toArray()]).toEqual(["int32", [5, -2, 2147483647]]);
    expect(ints.clamp(-2, 4).toArray()).toEqual([4, -2, 4]);
    const all = ints.clamp(-(2 ** 40), 2 ** 31); // bounds that no element meets
    expect([all.dtype, all.toArray()]).toEqual(["int32", [5, -7, 2147483647]]);
  });

  test("the gradient of maximum and minimum is chosen: it may be infinite, and NaN passes it to both", () => {
    const x = tensor([-1, 4], { device, requiresGrad: true });
    ops.maximum(x, 0).sqrt().sum().backward();
    expect(x.grad!.toArray()).toEqual([0, 0.25]);
    const [a, b] = [[3, 1, NaN, 2], [1, 3, 3, NaN]].map((v) => tensor(v, { device, requiresGrad: true })); // prettier-ignore
    for (const [op, first, second] of [
      ["minimum", [0, Infinity, 5, 7], [Infinity, 0, 5, 7]],
      ["maximum", [Infinity, 0, 5, 7], [0, Infinity, 5, 7]],
    ] as const) {
      ops[op](a!, b!).backward(tensor([Infinity, Infinity, 5, 7], { device }));
      expect([a!.grad!.toArray(), b!.grad!.toArray()]).toEqual([[...first], [...second]]);
      a!.grad = b!.grad = null;
    }
  });

  test("rounding: to integers, with gradient 0", () => {
    const x = tensor([-1.5, -0.5, 0.5, 1.5, 2.4, -2.6], { device, requiresGrad: true });
    expect(x.floor().toArray()).toEqual([-2, -1, 0, 1, 2, -3]);
    expect(x.ceil().toArray()).toEqual([-1, -0, 1, 2, 3, -2]);
    expect(x.round().toArray()).toEqual([-2, -0, 0, 2, 2, -3]);
    expect(x.data.round().toArray()).toEqual(x.round().toArray());
    x.floor().add(x.ceil()).add(x.round()).add(x).sum().backward();
    expect(x.grad!.toArray()).toEqual([1, 1, 1, 1, 1, 1]);
    const whole = tensor([16777217], { dtype: "int32", device });
    expect([whole.round().dtype, whole.floor().item(), whole.data.ceil().item()]).toEqual([
      "int32",
      16777217,
      16777217,
    ]);
  });

  test("gradients agree with finite differences in a composition of all of them", () => {
    const random = new Random(5);
    const inputs = [
      { shape: [3, 4], values: random.uniform(12, -2, 2) },
      { shape: [4], values: random.uniform(4, 0.5, 2) },
    ];
    checkGradients(
      (a, b) => {
        const waves = ops.add(ops.sin(ops.mul(a, b)), ops.cos(a));
        const gated = ops.add(ops.gelu(waves), ops.silu(ops.mul(waves, b)));
        const bounded = ops.minimum(ops.clamp(ops.softplus(gated), 0.1, 5), ops.add(b, 1.7));
        return ops.add(ops.leakyRelu(ops.sub(a, b), 0.3), bounded);
      },
      inputs,
      { device },
    );
  });

  test("sine and cosine of any size: zeros keep their digits", () => {
    const x = [Math.PI, 355, 710, 1e4, 123456.79, 999999, 1000001, 1e10, -3e38, 1e-30, -0];
    const rounded = x.map(Math.fround);
    const what = { rtol: 3e-7, atol: 1e-42 };
    close(
      ops.sin(tensor(x, { device })),
      { shape: [x.length], values: rounded.map(Math.sin) },
      { ...what, what: "sin" },
    );
    close(
      ops.cos(tensor(x, { device })),
      { shape: [x.length], values: rounded.map(Math.cos) },
      { ...what, what: "cos" },
    );
  });
});

onEachDevice("what a comparison gives is a mask", (device) => {
  test("for attention: keys that are left out count for nothing", () => {
    const [q, scores] = [new Random(1).uniform(12, -1, 1), tensor([[1.5, 0.2, 0.3]], { device })];
    const x = tensor(q, { shape: [1, 1, 3, 4], device });
    const compared = ops.scaledDotProductAttention(x, x, x, { mask: scores.greater(0.25) });
    const mask = tensor([[1, 0, 1]], { dtype: "int32", device });
    expect(compared.toArray()).toEqual(ops.scaledDotProductAttention(x, x, x, { mask }).toArray());
  });
});
