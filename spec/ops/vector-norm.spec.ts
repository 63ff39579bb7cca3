import { expect, test } from "bun:test";
import { ArgumentError, DeviceError, DTypeError, NDArray, ops, ShapeError, Tensor, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { devices, onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { liveBytes } from "../support/live-bytes.ts";
import { Random } from "../support/random.ts";
import { thrown } from "../support/thrown.ts";

interface Options {
  p?: number | "Infinity";
  axes?: number | number[];
  keepDims?: boolean;
  axis?: number;
  eps?: number;
}

checkFamily<Options>("vector-norm", {
  norm: ({ p, ...options }, a) => ops.norm(a, { p: Number(p), ...options }),
  cosineSimilarity: (options, a, b) => ops.cosineSimilarity(a, b, options as { axis?: number; eps?: number }),
});

onEachDevice("norms", (device) => {
  const x = () => tensor([[3, -4, 0], [0, 0, 0]], { device, requiresGrad: true }); // prettier-ignore

  test("axes may be given alone; the Euclidean norm of all elements is the default", () => {
    expect([ops.norm(x()).item(), ops.norm(x(), 1).toArray(), x().norm([0, 1]).item()]).toEqual([5, [5, 0], 5]);
    expect(ops.norm(x(), { keepDims: true }).shape).toEqual([1, 1]);
  });

  test("the gradient at the zero vector is zero, whatever comes back", () => {
    for (const p of [0.5, 1, 1.5, 2, 3, Infinity]) {
      const a = x();
      const lengths = ops.norm(a, { p, axes: 1 });
      lengths.backward(tensor([1, 1], { device }));
      expect(a.grad!.slice(1).toArray()).toEqual([0, 0, 0]);
      expect(a.grad!.toTypedArray().every(Number.isFinite)).toBe(true);
    }
    const a = x();
    ops.norm(a, 1).log().sum().backward(); // 1 / 0 comes back
    close(a.grad!, { shape: [2, 3], values: [0.12, -0.16, 0, 0, 0, 0] });
  });

  test("those that tie for the largest share the gradient", () => {
    const a = tensor([2, -2, 1], { device, requiresGrad: true });
    ops.norm(a, { p: Infinity }).backward();
    expect(a.grad!.toArray()).toEqual([0.5, -0.5, 0]);
  });

  test("gradients agree with finite differences", () => {
    const inputs = [{ shape: [3, 4, 2], values: new Random(6).uniform(24, 0.3, 2) }];
    for (const p of [0.5, 1, 2, 3.5])
      checkGradients((a) => ops.norm(ops.mul(a, a), { p, axes: [0, 2] }), inputs, { device });
    const other = { shape: [4, 1], values: new Random(7).uniform(4) };
    for (const axis of [0, 1, -1])
      checkGradients((a, b) => ops.cosineSimilarity(ops.mul(a, a), b, { axis }), [...inputs, other], { device });
  });

  test("vectors of one direction, of opposite ones, at right angles, and of length 0", () => {
    const a = tensor([[1, 2], [1, 2], [1, 2], [0, 0]], { device, requiresGrad: true }); // prettier-ignore
    const b = tensor([[2, 4], [-3, -6], [-2, 1], [1, 0]], { device }); // prettier-ignore
    const cosines = ops.cosineSimilarity(a, b);
    close(cosines, { shape: [4], values: [1, -1, 0, 0] });
    cosines.backward(tensor([1, 1, 1, 1], { device }));
    close(a.grad!.slice([0, 2]), { shape: [2, 2], values: [0, 0, 0, 0] });
  });

  test("what does not fit is refused", () => {
    const whole = tensor([[1, 2, 3]], { dtype: "int32", device });
    const wrong: [run: () => unknown, type: new (...args: never[]) => Error, message: RegExp][] = [
      [
        () => ops.norm(x(), { p: 0 }),
        ArgumentError,
        /^norm: p must be a number above 0 of float32, or Infinity, not 0/,
      ],
      [() => ops.norm(x(), { p: 5e-324 }), ArgumentError, /^norm: p must be a number above 0/],
      [() => ops.norm(x(), { p: NaN }), ArgumentError, /^norm: p must be .*not NaN/],
      // @ts-expect-error: the Frobenius norm is p = 2
      [() => ops.norm(x(), { p: "fro" }), ArgumentError, /^norm: p must be .*not "fro"/],
      // @ts-expect-error: PyTorch's name
      [() => ops.norm(x(), { dim: 0 }), ArgumentError, /^norm: there is no option 'dim'/],
      [() => ops.norm(x(), 2), ShapeError, /^norm: axis 2 .*\(2, 3\)/],
      [() => ops.norm(whole), DTypeError, /^norm: the operand must be float32/],
      [() => ops.norm(tensor([], { shape: [0, 3], device }), { p: Infinity, axes: 0 }), ShapeError, /^norm: there is no largest of no elements; given \(0, 3\)/], // prettier-ignore
      [() => ops.cosineSimilarity(x(), x(), { axis: 2 }), ShapeError, /^cosineSimilarity: axis 2/],
      [() => ops.cosineSimilarity(x(), x(), { eps: -1 }), ArgumentError, /^cosineSimilarity: eps must be/],
      [() => ops.cosineSimilarity(x(), tensor([1, 2], { device })), ShapeError, /^cosineSimilarity: .*do not broadcast.*\(2, 3\) and \(2,\)/], // prettier-ignore
      [() => ops.cosineSimilarity(x(), whole), DTypeError, /^cosineSimilarity: /],
      // @ts-expect-error: PyTorch's name
      [() => ops.cosineSimilarity(x(), x(), { dim: 1 }), ArgumentError, /^cosineSimilarity: there is no option 'dim'/],
    ];
    for (const [run, type, message] of wrong) {
      const error = thrown(run);
      expect(error).toBeInstanceOf(type);
      expect(String((error as Error).message)).toMatch(message);
    }
    expect(ops.norm(tensor([], { shape: [0, 3], device }), { p: Infinity, axes: 1 }).shape).toEqual([0]);
    for (const other of devices.filter((each) => each !== device))
      expect(() => ops.cosineSimilarity(x(), tensor([[1, 2, 3]], { device: other }))).toThrow(DeviceError);
  });

  test("nothing is left behind", () => {
    const a = new Tensor(NDArray.ones([32, 16], { device }), { requiresGrad: true });
    const run = () => {
      for (const y of [ops.norm(a, 1), ops.norm(a, { p: 3 }), ops.norm(a, { p: Infinity, axes: 0 }), ops.cosineSimilarity(a, a.slice(0)), ops.prod(a, 0), ops.lerp(a, a, 0.3)]) {
        using seed = NDArray.ones(y.shape, { device });
        y.backward(seed);
        y.dispose();
      } // prettier-ignore
      a.grad = null;
    };
    run();
    const before = liveBytes(device);
    for (let i = 0; i < 5; i++) run();
    expect(liveBytes(device)).toBeLessThanOrEqual(before);
  });
});
