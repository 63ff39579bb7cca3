import { expect, test } from "bun:test";
import type { Tensor } from "thimble";
import { ArgumentError, manualSeed, NDArray, noGrad, ops, ShapeError, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { liveBytes } from "../support/live-bytes.ts";
import { Random } from "../support/random.ts";

const attend = ops.scaledDotProductAttention;

// Gradients are small differences of sums of up to 10.
checkFamily<{ causal?: boolean; scale?: number }>(
  "attention",
  {
    attention: (options, q, k, ...[v, mask]) => attend(q, k, v!, { ...options, mask }),
  },
  { atol: 5e-6 },
);

onEachDevice("attention", (device) => {
  const random = new Random(3);
  const make = (shape: number[], requiresGrad = false): Tensor => {
    const values = random.uniform(
      shape.reduce((a, b) => a * b, 1),
      -1,
      1,
    );
    return tensor(values, { shape, device, requiresGrad });
  };
  const ints = (values: number[], shape: number[]) => tensor(values, { shape, dtype: "int32", device });

  test("agrees with the composition, at a size where threads share the work", () => {
    const [q, k, v] = [make([2, 3, 70, 16], true), make([2, 3, 90, 16], true), make([2, 3, 90, 24], true)];
    const seed = make([2, 3, 70, 24]);
    attend(q, k, v).backward(seed);
    const fused = [q, k, v].map((t) => t.grad!.toTypedArray());
    for (const t of [q, k, v]) t.grad = null;
    q.matmul(k.transpose()).mul(0.25).softmax().matmul(v).backward(seed);
    [q, k, v].forEach((t, i) =>
      close({ shape: t.shape, values: fused[i]! }, { shape: t.shape, values: t.grad!.toTypedArray() }, { atol: 1e-5 }),
    );
  });

  test("heads that are views of one product take no copy, and their gradients come back to it", () => {
    const make4 = make([2, 5, 3, 4, 6], true);
    const [q, k, v] = ops.split(make4, 2).map((part) => part.transpose(1, 2)) as [Tensor, Tensor, Tensor];
    attend(q, k, v, { causal: true })
      .mul(make([2, 4, 5, 6]))
      .sum()
      .backward();
    expect(make4.grad!.shape).toEqual([2, 5, 3, 4, 6]);
    expect(Array.from(make4.grad!.slice(null, null, 2).toTypedArray()).every((g) => g !== 0)).toBe(true);
  });

  test("gradients agree with finite differences, those of an added mask too", () => {
    const inputs = [[2, 3, 4], [2, 5, 4], [2, 5, 3], [3, 5]].map((shape) => ({
      shape,
      values: random.uniform(
        shape.reduce((a, b) => a * b, 1),
        -1,
        1,
      ),
    })); // prettier-ignore
    checkGradients((q, k, v, mask) => attend(q!, k!, v!, { mask, causal: true }), inputs, { device });
    checkGradients(
      (q, k, v, mask) => {
        manualSeed(5); // the same weights are dropped each time
        return attend(q!, k!, v!, { mask, dropout: 0.4 });
      },
      inputs,
      { device },
    );
  });

  test("a query that sees nothing gives zeros and no gradient; no NaN goes anywhere", () => {
    for (const mask of [
      ints([1, 1, 0, 0], [2, 2]),
      tensor(
        [
          [0, 1],
          [-Infinity, -Infinity],
        ],
        { device },
      ),
    ]) {
      // prettier-ignore
      const [q, k, v] = [make([2, 3], true), make([2, 3], true), make([2, 3], true)];
      const y = attend(q, k, v, { mask });
      expect(y.slice(1).toArray()).toEqual([0, 0, 0]);
      y.sum().backward();
      expect(q.grad!.slice(1).toArray()).toEqual([0, 0, 0]);
      for (const t of [q, k, v]) expect(Array.from(t.grad!.toTypedArray()).every(Number.isFinite)).toBe(true);
    }
    expect(attend(make([2, 3]), make([0, 3]), make([0, 4])).toArray()).toEqual([[0, 0, 0, 0], [0, 0, 0, 0]]); // prettier-ignore
    const q = make([2, 3], true);
    attend(q, make([0, 3]), make([0, 4]), { mask: ints([], [2, 0]), causal: true })
      .sum()
      .backward();
    expect(q.grad!.toArray()).toEqual([[0, 0, 0], [0, 0, 0]]); // prettier-ignore
    expect(attend(make([0, 3]), make([2, 3]), make([2, 4]), { causal: true }).shape).toEqual([0, 4]);
    expect(attend(make([0, 2, 3]), make([0, 2, 3]), make([0, 2, 3]), { mask: ints([1, 0], [2]) }).shape).toEqual([
      0, 2, 3,
    ]);
  });

  test("is as large as its values can be", () => {
    const v = tensor(NDArray.full([3, 2], 3e38, { device }));
    for (const y of attend(make([2, 4]), tensor(NDArray.zeros([3, 4], { device })), v).toTypedArray())
      expect(y / 3e38).toBeCloseTo(1, 5);
  });

  test("masks of fewer axes, of one element, and broadcast ones are what they stand for", () => {
    const [q, k, v] = [make([2, 3, 4], true), make([2, 40, 4]), make([2, 40, 5])];
    const plain = attend(q, k, v).toArray();
    const zero = (shape: number[]) => tensor(NDArray.zeros(shape, { device }), { requiresGrad: true });
    for (const shape of [[], [1], [1, 1], [3, 1], [2, 1, 1]]) {
      const mask = zero(shape);
      const y = attend(q, k, v, { mask });
      expect(y.toArray()).toEqual(plain);
      y.mul(make([2, 3, 5]))
        .sum()
        .backward();
      expect(mask.grad!.shape).toEqual(shape);
      for (const g of mask.grad!.toTypedArray()) expect(Math.abs(g)).toBeLessThan(1e-6); // it moves a whole row
    }
    expect(attend(q, k, v, { mask: ints([1], []) }).toArray()).toEqual(plain);
    expect(attend(q, k, v, { mask: ints([0], []) }).sum().item()).toBe(0); // prettier-ignore
    const row = make([40]);
    close(
      attend(q, k, v, { mask: row.broadcastTo([2, 3, 40]) }),
      { shape: [2, 3, 5], values: attend(q, k, v, { mask: row }).toTypedArray() },
      { atol: 1e-6 },
    );
    const last = make([3, 1]);
    expect(attend(q, k, v, { mask: last.broadcastTo([3, 40]) }).shape).toEqual([2, 3, 5]);
  });

  test("dropout zeroes weights and scales the others; backward drops the same ones", () => {
    const n = 64;
    const v = tensor(NDArray.ones([n, 1], { device }), { requiresGrad: true });
    const [q, k] = [make([n, 4], true), make([n, 4])];
    manualSeed(1);
    const y = attend(q, k, v, { dropout: 0.25 });
    expect(new Set(y.toTypedArray()).size).toBeGreaterThan(n / 2); // without dropout all rows are 1
    expect(y.mean().item()).toBeCloseTo(1, 1);
    y.sum().backward();
    const used = v.grad!.sum().item();
    expect(used).toBeCloseTo(y.sum().item(), 3);
    expect(attend(q, k, v, { dropout: 1 }).sum().item()).toBe(0);
    manualSeed(1);
    expect(attend(q, k, v, { dropout: 0.25 }).toArray()).toEqual(y.toArray());
  });

  test("only what needs a gradient gets one, and memory is given back", () => {
    const [q, k, v] = [make([2, 8, 4]), make([2, 8, 4], true), make([2, 8, 4])];
    const mask = ints([1, 1, 1, 0, 1, 1, 1, 1], [8]);
    const step = () => {
      using y = attend(q, k, v, { mask, causal: true, dropout: 0.1 });
      using loss = y.sum();
      loss.backward();
      k.grad = null;
      noGrad(() => attend(q, k, v, { mask })).dispose();
    };
    step();
    const before = liveBytes(device);
    step();
    expect(device.memory().live).toBeLessThanOrEqual(before);
    attend(q, k, v).sum().backward();
    expect([q.grad, v.grad]).toEqual([null, null]);
    expect(k.grad!.shape).toEqual([2, 8, 4]);
  });

  test("operands that the caller disposes stay valid until backward", () => {
    const [q, v] = [make([3, 2], true), make([3, 2])];
    const [k, mask] = [make([3, 2]), ints([1, 0, 1], [3])];
    const expected = attend(q, k, v, { mask });
    expected.sum().backward();
    const gradient = q.grad!.toArray();
    q.grad = null;
    const y = attend(q, k, v, { mask });
    for (const t of [k, v, mask]) t.dispose();
    y.sum().backward();
    expect(q.grad!.toArray()).toEqual(gradient);
  });

  test("errors name the operation and all shapes", () => {
    const [q, k, v] = [make([2, 3]), make([4, 3]), make([4, 5])];
    const name = /^scaledDotProductAttention: /;
    const refused = (run: () => Tensor, type: typeof ShapeError | typeof ArgumentError, message: RegExp) => {
      expect(run).toThrow(type);
      expect(run).toThrow(name);
      expect(run).toThrow(message);
    };
    refused(() => attend(q, make([4, 2]), v), ShapeError, /\(2, 3\).*\(4, 2\).*\(4, 5\)/);
    refused(() => attend(q, k, make([3, 5])), ShapeError, /v \(…, S, Ev\)/);
    refused(() => attend(make([3]), k, v), ShapeError, /takes q/);
    refused(() => attend(make([2, 2, 3]), make([3, 4, 3]), v), ShapeError, /broadcast/);
    refused(() => attend(q, k, v, { mask: ints([1, 1, 1], [3]) }), ShapeError, /broadcast.*\(3,\).*\(2, 4\)/);
    refused(() => attend(q, k, v, { mask: make([2, 2, 4]) }), ShapeError, /mask must broadcast/);
    refused(() => attend(q, k, v, { dropout: 1.5 }), ArgumentError, /dropout/);
    refused(() => attend(q, k, v, { scale: NaN }), ArgumentError, /scale/);
    // @ts-expect-error: PyTorch's name
    refused(() => attend(q, k, v, { isCausal: true }), ArgumentError, /no option 'isCausal'/);
    // @ts-expect-error: no array
    refused(() => attend(q, k, v, { mask: q.data }), ArgumentError, /the mask must be a Tensor/);
    expect(() => attend(ints([1, 2, 3], [1, 3]), k, v)).toThrow("q must be float32");
  });
});
