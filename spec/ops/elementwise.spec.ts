import { expect, test } from "bun:test";
import { ops, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { close, closeNumber } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { Random } from "../support/random.ts";

interface Options {
  scalar?: number;
  exponent?: number;
  slope?: number;
  weight?: number;
}

checkFamily<Options>("elementwise", {
  add: ({ scalar }, a, b) => ops.add(a, scalar ?? b),
  sub: ({ scalar }, a, b) => ops.sub(a, scalar ?? b),
  mul: ({ scalar }, a, b) => ops.mul(a, scalar ?? b),
  div: ({ scalar }, a, b) => ops.div(a, scalar ?? b),
  maximum: ({ scalar }, a, b) => ops.maximum(a, scalar ?? b),
  pow: ({ exponent = NaN }, a) => ops.pow(a, exponent),
  neg: (_, a) => ops.neg(a),
  exp: (_, a) => ops.exp(a),
  log: (_, a) => ops.log(a),
  sqrt: (_, a) => ops.sqrt(a),
  tanh: (_, a) => ops.tanh(a),
  relu: (_, a) => ops.relu(a),
  sigmoid: (_, a) => ops.sigmoid(a),
  abs: (_, a) => ops.abs(a),
  minimum: ({ scalar }, a, b) => ops.minimum(a, scalar ?? b),
  sin: (_, a) => ops.sin(a),
  cos: (_, a) => ops.cos(a),
  gelu: (_, a) => ops.gelu(a),
  silu: (_, a) => ops.silu(a),
  softplus: (_, a) => ops.softplus(a),
  lerp: ({ weight }, a, b, c) => ops.lerp(a, b, weight ?? c!),
  leakyRelu: ({ slope }, a) => ops.leakyRelu(a, slope),
});

onEachDevice("elementwise operations", (device) => {
  const values = [1, -2, 0.5, 4];
  const binary = {
    add: (a: number, b: number) => a + b,
    sub: (a: number, b: number) => a - b,
    mul: (a: number, b: number) => a * b,
    div: (a: number, b: number) => a / b,
    maximum: (a: number, b: number) => Math.max(a, b),
    minimum: (a: number, b: number) => Math.min(a, b),
  };

  for (const [name, f] of Object.entries(binary)) {
    const op = name as keyof typeof binary;
    test(`${op} takes a number on either side`, () => {
      const x = tensor(values, { device, requiresGrad: true });
      close(ops[op](x, 3), { shape: [4], values: values.map((v) => f(v, 3)) });
      close(ops[op](3, x), { shape: [4], values: values.map((v) => f(3, v)) });
      ops.sum(ops[op](3, x)).backward();
      const slope = values.map((v) => (f(3, v + 1e-4) - f(3, v - 1e-4)) / 2e-4);
      close(x.grad!, { shape: [4], values: slope }, { rtol: 1e-4 });
    });

    test(`${op} gives a tensor used on both sides both gradients`, () => {
      const x = tensor([1, -2, 0.5, 4], { device, requiresGrad: true });
      ops.sum(ops[op](x, x)).backward();
      const expected = {
        add: [2, 2, 2, 2],
        sub: [0, 0, 0, 0],
        mul: [2, -4, 1, 8],
        div: [0, 0, 0, 0],
        maximum: [1, 1, 1, 1],
        minimum: [1, 1, 1, 1],
      };
      close(x.grad!, { shape: [4], values: expected[op] });
    });
  }

  test("int32 stays int32 where the result is whole, and division and functions give float32", () => {
    const a = tensor([7, -2, 5], { dtype: "int32", device });
    const b = tensor([2, 4, -5], { dtype: "int32", device });
    for (const [result, expected] of [
      [ops.add(a, b), [9, 2, 0]],
      [ops.sub(a, b), [5, -6, 10]],
      [ops.mul(a, b), [14, -8, -25]],
      [ops.maximum(a, b), [7, 4, 5]],
      [ops.neg(a), [-7, 2, -5]],
      [ops.abs(a), [7, 2, 5]],
      [ops.add(a, 1), [8, -1, 6]],
      [ops.mul(a, -3), [-21, 6, -15]],
      [ops.sub(1, a), [-6, 3, -4]],
    ] as const) {
      expect([result.dtype, result.toArray()]).toEqual(["int32", [...expected]]);
    }
    for (const [result, expected] of [
      [ops.div(a, b), [3.5, -0.5, -1]],
      [ops.div(a, 2), [3.5, -1, 2.5]],
      [ops.add(a, 0.5), [7.5, -1.5, 5.5]],
      [ops.mul(a, tensor([0.5], { device })), [3.5, -1, 2.5]],
    ] as const) {
      expect([result.dtype, result.toArray()]).toEqual(["float32", [...expected]]);
    }
    close(ops.exp(b), { shape: [3], values: [2, 4, -5].map(Math.exp) });
    expect(ops.sqrt(b).dtype).toBe("float32");
  });

  test("int32 keeps what float32 could not", () => {
    const a = tensor([16777217, 2 ** 30], { dtype: "int32", device });
    expect(ops.add(a, 2).toArray()).toEqual([16777219, 2 ** 30 + 2]);
    expect(ops.add(a, tensor([1], { dtype: "int32", device })).toArray()).toEqual([16777218, 2 ** 30 + 1]);
  });

  test("accuracy of the functions over their whole range", () => {
    const random = new Random(2);
    const wide = random.uniform(4099, -20, 20);
    const positive = random.uniform(4099, 1e-6, 50);
    const check = (op: "exp" | "tanh" | "sigmoid" | "log" | "sqrt", x: Float32Array, f: (v: number) => number): void =>
      close(
        ops[op](tensor(x, { device })),
        { shape: [x.length], values: Array.from(x, f) },
        { rtol: 4e-7, atol: 1e-7, what: op },
      );
    check("exp", wide, Math.exp);
    check("tanh", wide, Math.tanh);
    check("sigmoid", wide, (v) => 1 / (1 + Math.exp(-v)));
    check("log", positive, Math.log);
    check("sqrt", positive, Math.sqrt);
    check("tanh", random.uniform(2003, -1e-3, 1e-3), Math.tanh);
  });

  test("large arrays: every element is computed", () => {
    const [x, y] = [new Random(3).uniform(1_000_001), new Random(4).uniform(1_000_001)];
    const [a, b] = [tensor(x, { device }), tensor(y, { device })];
    expect(ops.add(a, b).toTypedArray()).toEqual(x.map((value, at) => value + y[at]!));
    expect(ops.mul(a, 2).toTypedArray()).toEqual(x.map((value) => value * 2));
    expect(
      ops
        .relu(a)
        .toTypedArray()
        .every((value, at) => value === Math.max(x[at]!, 0)),
    ).toBe(true);
  });

  test("gradients agree with finite differences in a composition of all of them", () => {
    const random = new Random(5);
    const inputs = [
      { shape: [3, 4], values: random.uniform(12, 0.5, 2) },
      { shape: [4], values: random.uniform(4, 0.5, 2) },
    ];
    checkGradients(
      (a, b) => {
        const powers = ops.add(ops.pow(a, 1.5), ops.sqrt(ops.mul(a, b)));
        const bounded = ops.sub(ops.tanh(ops.log(powers)), ops.sigmoid(ops.neg(ops.div(a, b))));
        return ops.add(ops.exp(bounded), ops.abs(ops.relu(ops.sub(b, 5))));
      },
      inputs,
      { device },
    );
  });
});

onEachDevice("the gradient of a divisor", (device) => {
  test.each([
    [1e30, 1e20, 1e30, -1e20],
    [1e25, 1e10, 1e25, -1e30],
    [1e-20, 1e-10, 1e-36, -1e-36],
  ])("%p / %p is where it fits, whatever stands on the way", (a, b, g, expected) => {
    const given = (value: number) => tensor([value], { device });
    const divisor = tensor([b], { device, requiresGrad: true });
    given(a).div(divisor).backward(given(g));
    closeNumber(divisor.grad!.item() / expected, 1, { rtol: 1e-6 });
    divisor.grad = null;
    ops.div(a, divisor).backward(given(g));
    closeNumber(divisor.grad!.item() / expected, 1, { rtol: 1e-6 });
  });

  test("the tangent of -0 is -0", () => {
    expect(Object.is(tensor(-0, { device }).tanh().item(), -0)).toBe(true);
  });

  test("lerp is exact at both ends, broadcasts, and refuses what is no weight", () => {
    const [a, b] = [tensor([[1e8], [-3]], { device }), tensor([1, 0.1], { device })]; // prettier-ignore
    expect(ops.lerp(a, b, 0).toArray()).toEqual([[1e8, 1e8], [-3, -3]]); // prettier-ignore
    expect(ops.lerp(a, b, 1).toArray()).toEqual([b.toArray(), b.toArray()] as number[][]);
    expect(ops.lerp(a, b, a.mul(0).add(1)).toArray()).toEqual([b.toArray(), b.toArray()] as number[][]);
    close(ops.lerp(a, b, a.mul(0)), { shape: [2, 2], values: [1e8, 1e8, -3, -3] });
    const inputs = [{ shape: [3, 1], values: new Random(6).uniform(3) }, { shape: [4], values: new Random(7).uniform(4) }]; // prettier-ignore
    checkGradients((x, y) => ops.lerp(ops.mul(x, x), y, 0.7), inputs, { device });
    checkGradients((x, y) => ops.lerp(x, ops.mul(y, y), y), inputs, { device });
    expect(() => ops.lerp(a, b, NaN)).toThrow(/^lerp: the weight must be a number, not NaN/);
    expect(() => ops.lerp(a, tensor([1], { dtype: "int32", device }), 0.5)).toThrow(
      /^lerp: the operand must be float32/,
    );
    expect(() => ops.lerp(a, b, tensor([1], { dtype: "int32", device }))).toThrow(/^lerp: the weight must be float32/);
    expect(() => ops.lerp(a, tensor([1, 2, 3], { device }).reshape([3, 1]), 0.5)).toThrow(/^lerp: .*\(2, 1\) and \(3, 1\)/); // prettier-ignore
    // @ts-expect-error: b is a tensor
    expect(() => ops.lerp(a, 1, 0.5)).toThrow(/^lerp: the operand must be a Tensor/);
  });
});
