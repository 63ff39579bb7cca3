import { describe, expect, test } from "bun:test";
import type { Tensor } from "thimble";
import { AutogradError, DisposedError, NDArray, noGrad, ops, optim, OutOfMemoryError, tensor } from "thimble";

import { onEachDevice } from "../support/devices.ts";
import { liveBytes } from "../support/live-bytes.ts";
import { thrown } from "../support/thrown.ts";

onEachDevice("backward", (device) => {
  const leaf = (values: number[]): Tensor => tensor(values, { device, requiresGrad: true });

  test("lists that the caller writes into after the call change no gradient", () => {
    const x = tensor([1, 2, 3, 4], { device, requiresGrad: true });
    const range: [number, number] = [0, 1];
    let loss = tensor(0, { device });
    for (let i = 0; i < 4; i++) {
      [range[0], range[1]] = [i, i + 1];
      loss = loss.add(
        ops
          .slice(x, range)
          .sum()
          .mul(i + 1),
      );
    }
    loss.backward();
    expect(x.grad!.toArray()).toEqual([1, 2, 3, 4]);
    const y = tensor([[1, 2], [3, 4]], { device, requiresGrad: true }); // prettier-ignore
    const axes = [0];
    const flipped = ops.flip(y, axes);
    axes[0] = 1;
    flipped.mul(tensor([[1, 10], [100, 1000]], { device })).sum().backward(); // prettier-ignore
    expect(y.grad!.toArray()).toEqual([[100, 1000], [1, 10]]); // prettier-ignore
  });

  test("requiresGrad = false after the forward pass is heeded", () => {
    const [w, v] = [leaf([2]), leaf([3])];
    const loss = w.mul(v).sum();
    w.requiresGrad = false;
    loss.backward();
    expect([w.grad, v.grad!.toArray()]).toEqual([null, [2]]);
  });

  test("of a disposed result is refused", () => {
    const loss = leaf([1]).mul(2).sum();
    loss.dispose();
    expect(() => loss.backward()).toThrow(DisposedError);
  });

  test("that ran out of memory leaves nothing behind that another loss meets", () => {
    const make = (...shape: number[]) => tensor(NDArray.ones(shape, { device }), { requiresGrad: true });
    const cell = { W_ih: make(3, 16), W_hh: make(4, 16), bias_ih: null, bias_hh: null };
    const [states, cells] = ops.lstm(make(2, 2, 3), null, cell);
    const [large, small] = [states.broadcastTo([4000, 2, 2, 4]).exp().sum(), cells.sum()];
    liveBytes(device); // what earlier specs have left is collected
    device.trimMemory();
    device.setMemoryLimit(device.memory().reserved + 1e5);
    try {
      expect(() => large.backward()).toThrow(OutOfMemoryError);
    } finally {
      device.setMemoryLimit(Infinity);
    }
    expect(() => small.backward()).not.toThrow(TypeError);
  });

  test("only leaves can be trained, and know that they are", () => {
    const x = tensor([1, 2], { device, requiresGrad: true });
    const y = x.mul(2);
    expect([x.isLeaf, y.isLeaf, y.detach().isLeaf, tensor(1).isLeaf]).toEqual([true, false, true, true]);
    expect(() => new optim.SGD([y], { lr: 1 })).toThrow(
      /^SGD: the result of an operation cannot be a parameter.*\(2,\)/,
    );
  });

  test("the gradient of a leaf that is itself the result is one", () => {
    const x = tensor(3, { device, requiresGrad: true });
    x.backward();
    expect(x.grad!.item()).toBe(1);
  });

  test("gradients of several backward calls add up until they are cleared", () => {
    const x = leaf([1, 2]);
    ops.sum(ops.mul(x, 3)).backward();
    ops.sum(ops.mul(x, x)).backward();
    expect(x.grad!.toArray()).toEqual([5, 7]);
    x.grad = null;
    ops.sum(x).backward();
    expect(x.grad!.toArray()).toEqual([1, 1]);
  });

  test("shared subgraphs are visited once, with all their gradients added", () => {
    const x = leaf([2]);
    const y = ops.mul(x, x); // 4, used three times
    const z = ops.add(ops.mul(y, y), y); // y² + y
    ops.sum(z).backward();
    expect(x.grad!.toArray()).toEqual([2 * 2 * (2 * 4 + 1)]);
  });

  test("a diamond of a thousand levels is linear work, not 2^1000", () => {
    const x = leaf([1]);
    let y: Tensor = x;
    for (let i = 0; i < 1000; i++) y = ops.mul(ops.add(y, y), 0.5);
    ops.sum(y).backward();
    expect(x.grad!.toArray()).toEqual([1]);
  });

  test("20,000 chained operations do not overflow the stack", () => {
    const x = leaf([1, -1]);
    let y: Tensor = x;
    for (let i = 0; i < 20_000; i++) y = ops.add(y, 1);
    expect(y.toArray()).toEqual([20_001, 19_999]);
    ops.sum(y).backward();
    expect(x.grad!.toArray()).toEqual([1, 1]);
  });

  test("a second backward throws, and says why and what to do", () => {
    const x = leaf([1, 2]);
    const loss = ops.sum(ops.mul(x, x));
    loss.backward();
    const error = thrown(() => loss.backward());
    expect(error).toBeInstanceOf(AutogradError);
    expect(String(error)).toMatch(/already/);
    expect(String(error)).toMatch(/again|add up/);
    expect(x.grad!.toArray()).toEqual([2, 4]); // and nothing was added
  });

  test("a second backward through a shared part throws as well", () => {
    const x = leaf([1, 2]);
    const shared = ops.mul(x, x);
    ops.sum(shared).backward();
    expect(() => ops.sum(shared).backward()).toThrow(AutogradError);
    expect(x.grad!.toArray()).toEqual([2, 4]);
  });

  test("a gradient is needed for what is not a scalar, and must have its shape", () => {
    const x = leaf([1, 2, 3]);
    const y = ops.mul(x, 2);
    expect(() => y.backward()).toThrow(/backward.*\(3,\)/);
    expect(() => y.backward(tensor([1, 2], { device }))).toThrow(/backward.*\(3,\).*\(2,\)/);
    y.backward(tensor([1, 10, 100], { device }));
    expect(x.grad!.toArray()).toEqual([2, 20, 200]);
  });

  test("the gradient that the caller passes is not overwritten", () => {
    const x = leaf([1, 2]);
    const seed = tensor([1, 10], { device });
    ops.neg(ops.exp(ops.neg(ops.relu(x)))).backward(seed);
    expect(seed.toArray()).toEqual([1, 10]);
    x.grad = null;
    ops.add(x, 0).backward(seed); // the gradient passes through as it is
    x.grad!.data.set([], 7);
    expect(seed.toArray()).toEqual([1, 10]);
  });

  test("two leaves that get the same gradient do not share its memory", () => {
    const [a, b] = [leaf([1, 2]), leaf([3, 4])];
    ops.add(a, b).backward(tensor([1, 1], { device }));
    a.grad!.data.set([], 7);
    expect(b.grad!.toArray()).toEqual([1, 1]);
    const [c, d] = [leaf([1, 2]), leaf([3, 4])];
    ops.mul(ops.add(c, d), 2).backward(tensor([1, 1], { device })); // a gradient that backward made itself
    c.grad!.data.set([], 7);
    expect(d.grad!.toArray()).toEqual([2, 2]);
  });

  test("gradients are row-major arrays of their own, whatever the views between", () => {
    const x = tensor([[1, 2, 3], [4, 5, 6]], { device, requiresGrad: true }); // prettier-ignore
    ops.sum(ops.mul(ops.transpose(x), tensor([[1, 2], [3, 4], [5, 6]], { device }))).backward(); // prettier-ignore
    expect(x.grad!.data.isCompact()).toBe(true);
    expect(x.grad!.toArray()).toEqual([[1, 3, 5], [2, 4, 6]]); // prettier-ignore
    const s = leaf([1, 2]);
    ops.sum(s).backward(); // a broadcast gradient
    s.grad!.data.set([0], 9);
    expect(s.grad!.toArray()).toEqual([9, 1]);
  });

  test("only leaves that require a gradient get one", () => {
    const [x, y] = [leaf([1, 2]), tensor([3, 4], { device })];
    const z = ops.mul(x, y);
    ops.sum(z).backward();
    expect(x.grad!.toArray()).toEqual([3, 4]);
    expect(y.grad).toBeNull();
    expect(z.grad).toBeNull();
  });

  test("backward from what does not require a gradient throws", () => {
    const error = thrown(() => tensor(1, { device }).backward());
    expect(error).toBeInstanceOf(AutogradError);
    expect(String(error)).toMatch(/requiresGrad|require/);
  });

  test("second-order gradients are refused in words: of a grad, and as an option", () => {
    const x = leaf([2]);
    x.mul(x).backward();
    expect(() => x.grad!.mul(2).backward()).toThrow("there are no second-order gradients");
    // @ts-expect-error: PyTorch's option
    expect(() => x.mul(x).backward({ createGraph: true })).toThrow("there are no second-order gradients");
  });

  test("a state carried from step to step is told to be detached", () => {
    const w = leaf([2]);
    let state = w.mul(1);
    state.sum().backward();
    state = state.mul(w);
    expect(() => state.sum().backward()).toThrow("must be detach()ed");
  });
});

describe("noGrad and detach", () => {
  test("noGrad records nothing, returns the result, and ends with its function", () => {
    const x = tensor([1, 2], { requiresGrad: true });
    const y = noGrad(() => ops.mul(x, 2));
    expect([y.requiresGrad, y.toArray()]).toEqual([false, [2, 4]]);
    expect(ops.mul(x, 2).requiresGrad).toBe(true);
    expect(() =>
      noGrad(() => {
        throw new Error("inside");
      }),
    ).toThrow("inside");
    expect(ops.mul(x, 2).requiresGrad).toBe(true);
    const afterInner = noGrad(() => {
      noGrad(() => 1);
      return ops.mul(x, 2).requiresGrad;
    });
    expect(afterInner).toBe(false);
    expect(ops.mul(x, 2).requiresGrad).toBe(true);
  });

  test("noGrad refuses a promise, since what comes after an await would be recorded", () => {
    expect(() => noGrad(async () => 1)).toThrow(/noGrad.*promise/);
    expect(ops.mul(tensor([1], { requiresGrad: true }), 2).requiresGrad).toBe(true);
  });

  test("detach shares memory, and no gradient passes", () => {
    const x = tensor([1, 2], { requiresGrad: true });
    const constant = x.detach();
    expect([constant.requiresGrad, constant.grad]).toEqual([false, null]);
    ops.sum(ops.mul(x, constant)).backward();
    expect(x.grad!.toArray()).toEqual([1, 2]);
    x.data.set([], 9);
    expect(constant.toArray()).toEqual([9, 9]);
  });

  test("integers have no gradient", () => {
    expect(() => tensor([1], { dtype: "int32", requiresGrad: true })).toThrow(/float32.*int32/);
    const ids = tensor([1], { dtype: "int32" });
    expect(() => (ids.requiresGrad = true)).toThrow(/float32.*int32/);
    expect(ids.requiresGrad).toBe(false);
  });

  test("requiresGrad is true for results, and can be set on leaves only", () => {
    const x = tensor([1]);
    expect(ops.mul(x, 2).requiresGrad).toBe(false);
    x.requiresGrad = true;
    const y = ops.mul(x, 2);
    expect(y.requiresGrad).toBe(true);
    expect(() => (y.requiresGrad = false)).toThrow(/detach/);
  });

  test("a conversion to another dtype passes the gradient where there is one", () => {
    const x = tensor([1.5, 2.5], { requiresGrad: true });
    expect(x.to(x.device)).toBe(x);
    const whole = x.to({ dtype: "int32" });
    expect([whole.toArray(), whole.requiresGrad]).toEqual([[1, 2], false]);
  });
});
