/** Writing into arrays that were recorded, or that gradients are: noticed, allowed, or refused. */
import { expect, test } from "bun:test";
import type { Tensor } from "thimble";
import { AutogradError, nn, noGrad, ops, optim, ShapeError, tensor } from "thimble";

import { onEachDevice } from "../support/devices.ts";
import { thrown } from "../support/thrown.ts";

onEachDevice("modification in place", (device) => {
  const leaf = (values: number[]): Tensor => tensor(values, { device, requiresGrad: true });

  test("of an array that backward needs is noticed", () => {
    const ways: [string, (x: Tensor) => void][] = [
      ["data.set", (x) => x.data.set([0], 5)],
      ["tensor.set", (x) => x.set([5, 5])],
      ["through a view", (x) => x.data.slice([0, 1]).set([], 5)],
      ["through detach", (x) => x.detach().data.set([], 5)],
    ];
    for (const [name, modify] of ways) {
      const x = leaf([1, 2]);
      const loss = ops.sum(ops.mul(x, x));
      modify(x);
      const error = thrown(() => loss.backward());
      expect(error, name).toBeInstanceOf(AutogradError);
      expect(String(error), name).toMatch(/mul.*in place/);
      expect(x.grad, name).toBeNull();
    }
  });

  test("by an optimizer step between forward and backward is noticed", () => {
    const x = leaf([1, 2]);
    ops.sum(x).backward();
    const loss = ops.sum(ops.mul(x, x));
    new optim.SGD([x], { lr: 0.1 }).step();
    expect(() => loss.backward()).toThrow(AutogradError);
  });

  test("of the output of exp, which its gradient needs, is noticed", () => {
    const x = leaf([1, 2]);
    const y = ops.exp(x);
    const loss = ops.sum(y);
    y.data.set([], 0);
    expect(() => loss.backward()).toThrow(AutogradError);
  });

  test("of an array that backward does not need is allowed", () => {
    const x = leaf([1, 2]);
    const y = ops.add(x, 1);
    const loss = ops.sum(y);
    y.data.set([], 0);
    x.data.set([], 0);
    loss.backward();
    expect(x.grad!.toArray()).toEqual([1, 1]);
  });

  test("a failed set() is no write, and a recorded result is not written into", () => {
    const x = leaf([1, 2, 3]);
    const y = x.mul(x);
    expect(() => x.set([1, 2])).toThrow(/^set/);
    expect(() => y.set([0], 0)).toThrow(/^set: cannot write into the recorded result of an operation.*\(3,\)/);
    y.sum().backward();
    expect(x.grad!.toArray()).toEqual([2, 4, 6]);
    const z = x.mul(2);
    noGrad(() => z.set([0], 0));
    z.detach().set([1], 0);
    expect(z.toArray()).toEqual([0, 0, 6]);
  });

  test("a factor whose partner needs no gradient is not kept, and may be written into", () => {
    const square = (requiresGrad: boolean) => tensor([[1, 2], [3, 4]], { device, requiresGrad }); // prettier-ignore
    const zeros = tensor([0, 0], { device });
    for (const multiply of [ops.mul, ops.matmul, (a: Tensor, b: Tensor) => ops.linear(a, b, zeros)])
      for (const isFirst of [true, false]) {
        const [trained, fixed] = [square(true), square(false)];
        const product = () => (isFirst ? multiply(trained, fixed) : multiply(fixed, trained)).sum();
        product().backward();
        const expected = trained.grad!.toArray();
        const [again, broken] = [product(), product()];
        trained.grad = null;
        trained.set(9); // no gradient reads it
        again.backward();
        expect(trained.grad!.toArray()).toEqual(expected);
        fixed.set(9);
        expect(() => broken.backward()).toThrow(/modified in place/);
      }
  });

  test("a clip of gradients is a write into them", () => {
    const [p, w] = [leaf([3, 4]), leaf([1, 1])];
    p.mul(p).sum().backward();
    const loss = w.mul(p.grad!).sum();
    optim.clipGradNorm([p], 100); // leaves them alone
    optim.clipGradNorm([p], 1);
    expect(() => loss.backward()).toThrow(/modified in place/);
  });

  test("a gradient whose data was replaced is what an optimizer takes, and backward adds to", () => {
    const p = new nn.Parameter(tensor([1, 1], { device }));
    p.mul(3).sum().backward();
    p.grad!.data = p.grad!.data.mul(0);
    new optim.SGD([p], { lr: 1 }).step();
    expect([p.grad!.toArray(), p.toArray()]).toEqual([[0, 0], [1, 1]]); // prettier-ignore
    p.mul(3).sum().backward();
    expect(p.grad!.toArray()).toEqual([3, 3]);
    p.grad!.data = tensor([1], { device }).data;
    expect(() => p.grad).toThrow(ShapeError);
    p.grad = null;
  });

  test("adds to a gradient of which someone holds a view", () => {
    const w = leaf([1, 2]);
    w.mul(3).sum().backward();
    const view = w.grad!.reshape([2, 1]);
    w.mul(3).sum().backward();
    expect([w.grad!.toArray(), view.toArray()]).toEqual([[6, 6], [[6], [6]]]); // prettier-ignore
  });
});
