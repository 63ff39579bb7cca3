import { expect, test } from "bun:test";
import {
  ArgumentError,
  AutogradError,
  DTypeError,
  NDArray,
  noGrad,
  ops,
  ShapeError,
  Tensor,
  tensor,
  tidy,
} from "thimble";

import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { liveBytes } from "../support/live-bytes.ts";

const { customGradient } = ops;

/** Becomes 0 or 1, and passes the gradient straight through (Bengio et al., 2013). */
const binarize = (x: Tensor) => customGradient([x], (a) => a.greater(0).to({ dtype: "float32" }), (g) => [g]); // prettier-ignore

/** Does nothing, until gradients come back (Ganin et al., 2016). */
const reversed = (x: Tensor, strength: number) => customGradient([x], (a) => a, (g) => [g.mul(-strength)]); // prettier-ignore

/** a³ · b, with its own formula. */
const cubed = (x: Tensor, y: Tensor) =>
  customGradient(
    [x, y],
    (a, b) => ({ output: a.pow(3).mul(b), saved: [a, b] }),
    (g, { saved: [a, b], needs }) => [
      needs[0] ? g.mul(a.mul(a).mul(b).mul(3)) : null,
      needs[1] ? g.mul(a.pow(3)) : null,
    ],
  );

onEachDevice("customGradient", (device) => {
  const leaf = (values: number[]): Tensor => tensor(values, { device, requiresGrad: true });

  test("a straight-through estimator rounds, and passes the gradient on", () => {
    const x = leaf([-2, 0.5, 3]);
    const y = binarize(x.mul(2));
    expect(y.toArray()).toEqual([0, 1, 1]);
    y.mul(tensor([1, 2, 3], { device }))
      .sum()
      .backward();
    expect(x.grad!.toArray()).toEqual([2, 4, 6]);
  });

  test("gradient reversal turns back the gradient of what is before it alone", () => {
    const [x, w] = [leaf([1, 2]), leaf([3, 4])];
    const y = reversed(x, 0.5);
    expect(y.toArray()).toEqual([1, 2]);
    ops.mul(y, w).sum().backward();
    expect([x.grad!.toArray(), w.grad!.toArray()]).toEqual([[-1.5, -2], [1, 2]]); // prettier-ignore
  });

  test("a formula for two inputs agrees with finite differences, and `needs` tells which are wanted", () => {
    const inputs = [
      { shape: [3], values: [0.5, -1, 2] },
      { shape: [3], values: [1, 2, 0.25] },
    ];
    checkGradients((x, y) => cubed(x!, y!), inputs, { device });
    const seen: (readonly boolean[])[] = [];
    const spy = (...given: Tensor[]) =>
      customGradient(given, (a) => a.mul(2), (g, { needs }) => (seen.push(needs), given.map(() => g.mul(2)))); // prettier-ignore
    const [x, constant, ids] = [leaf([1]), tensor([2], { device }), tensor([3], { dtype: "int32", device })];
    spy(x, constant, ids).backward();
    expect(seen).toEqual([[true, false, false]]);
    expect([x.grad!.toArray(), constant.grad, ids.grad]).toEqual([[2], null, null]);
  });

  test("null is no gradient; one array may serve several inputs, and none of them shares memory with another", () => {
    const [x, y, z] = [leaf([1]), leaf([2]), leaf([3])];
    customGradient([x, y, z], (a, b, c) => a.add(b).add(c), (g) => [g, g, null]).backward(); // prettier-ignore
    expect([x.grad!.toArray(), y.grad!.toArray(), z.grad]).toEqual([[1], [1], null]);
    x.grad!.set(7);
    expect(y.grad!.toArray()).toEqual([1]);
  });

  test("what the user holds is neither freed nor written over", () => {
    const x = leaf([1, 2]);
    const kept = NDArray.from([10, 20], { device });
    const y = customGradient([x.mul(1)], () => kept, () => [kept]); // prettier-ignore
    y.relu().mul(2).add(y.mul(0)).sum().backward();
    expect(kept.toArray()).toEqual([10, 20]);
    expect(x.grad!.toArray()).toEqual([10, 20]);
    x.grad!.set(0);
    y.dispose();
    expect(kept.toArray()).toEqual([10, 20]);
  });

  test("what is saved stays valid, whatever is disposed, and may be given back as the gradient", () => {
    const x = leaf([2, 3]);
    const held = NDArray.from([5, 6], { device });
    const hidden = x.mul(1);
    const y = customGradient(
      [hidden],
      (a) => ({ output: a.mul(a), saved: [held, a] }),
      (_, { saved: [first] }) => [first],
    );
    hidden.dispose();
    held.dispose();
    y.sum().backward();
    expect(x.grad!.toArray()).toEqual([5, 6]);
  });

  test("an input modified in place after it was saved is found", () => {
    const [x, y] = [leaf([2]), leaf([3])];
    const z = cubed(x, y);
    noGrad(() => x.set([5]));
    expect(() => z.backward()).toThrow(AutogradError);
    expect(() => z.backward()).toThrow(/^customGradient: an array needed for backward was modified/);
  });

  test("records nothing in noGrad, without a gradient to make, or of whole numbers", () => {
    const x = leaf([1.5]);
    expect(noGrad(() => binarize(x)).requiresGrad).toBe(false);
    expect(binarize(tensor([1], { device })).requiresGrad).toBe(false);
    expect(customGradient([x], (a) => a.to({ dtype: "int32" }), () => [null]).requiresGrad).toBe(false); // prettier-ignore
    const inside = customGradient([x], (a) => x.mul(2).mul(new Tensor(a)).data, (g) => [g]); // prettier-ignore
    inside.backward();
    expect(x.grad!.toArray()).toEqual([1]); // what forward does with tensors is not recorded
  });

  test("frees what it made on the way, in training, in noGrad and where it fails", () => {
    const [x, y] = [leaf([1, 2, 3]), leaf([4, 5, 6])];
    const step = () => {
      using z = cubed(x, y);
      using loss = z.sum();
      loss.backward();
      x.grad = y.grad = null;
      noGrad(() => cubed(x, y)).dispose();
      using failing = customGradient(
        [x],
        (a) => ({ output: a.exp(), saved: [a.neg()] }),
        (g) => {
          g.mul(2);
          throw new RangeError("mine");
        },
      );
      using after = failing.mul(2);
      expect(() => after.backward(NDArray.ones([3], { device }))).toThrow(RangeError);
    };
    tidy(step);
    const before = liveBytes(device);
    tidy(step);
    expect(device.memory().live).toBeLessThanOrEqual(before);
  });

  test("an error in either function is the user's own, and the tape goes on", () => {
    const [x, w] = [leaf([1]), leaf([2])];
    const fail = (): never => {
      throw new RangeError("mine");
    };
    expect(() => customGradient([x], fail, (g) => [g])).toThrow(RangeError);
    const h = x.mul(w);
    const broken = customGradient([h], (a) => a, fail); // prettier-ignore
    expect(() => broken.mul(2).backward()).toThrow("mine");
    expect(x.grad).toBeNull();
    h.mul(3).backward(); // what came before the failed operation is still there
    expect([x.grad!.toArray(), w.grad!.toArray()]).toEqual([[6], [3]]);
    expect(x.mul(2).requiresGrad).toBe(true); // noGrad has ended
  });

  test("gradients that do not fit are refused: the input is named, and both shapes", () => {
    const [x, y] = [leaf([1, 2]), leaf([3, 4])];
    const give = (...gradients: unknown[]) =>
      customGradient([x, y], (a, b) => a.add(b), () => gradients as (NDArray | null)[]).sum().backward(); // prettier-ignore
    const fine = NDArray.ones([2], { device });
    expect(() => give(fine, NDArray.ones([3], { device }))).toThrow(ShapeError);
    expect(() => give(fine, NDArray.ones([3], { device }))).toThrow(/^customGradient: .*input 1.*\(2,\).*\(3,\)/);
    expect(() => give(fine)).toThrow(/a list of 1, not a list of one gradient for each of 2 inputs/);
    expect(() => give(fine, undefined)).toThrow(ArgumentError);
    expect(() => give(fine, 3)).toThrow("input 1 must be an array or null, not 3");
    expect(() => give(fine, NDArray.ones([2], { device, dtype: "int32" }))).toThrow(DTypeError);
    // @ts-expect-error: an array alone
    expect(() => customGradient([x], (a) => a.mul(1), (g) => g).backward(fine)).toThrow("not a list of one"); // prettier-ignore
  });

  test("arguments are checked", () => {
    const x = leaf([1]);
    // @ts-expect-error: one tensor alone
    expect(() => customGradient(x, (a) => a, (g) => [g])).toThrow("takes a list of tensors, not Tensor"); // prettier-ignore
    // @ts-expect-error: an array
    expect(() => customGradient([x.data], (a) => a, (g) => [g])).toThrow("each input must be a Tensor"); // prettier-ignore
    // @ts-expect-error: none
    expect(() => customGradient([x], (a) => a)).toThrow("backward must be a function, not undefined"); // prettier-ignore
    // @ts-expect-error: a tensor
    expect(() => customGradient([x], () => x, (g) => [g])).toThrow("forward gave Tensor, not an array"); // prettier-ignore
    // @ts-expect-error: a promise
    expect(() => customGradient([x], async (a) => a, (g) => [g])).toThrow("returned a promise"); // prettier-ignore
  });
});
