import { expect, test } from "bun:test";
import type { Tensor } from "thimble";
import { init, nn, ops, ShapeError, tensor } from "thimble";

import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { Random } from "../support/random.ts";

onEachDevice("normalisation", (device) => {
  const random = new Random(1);
  const input = (...shape: number[]): Tensor =>
    tensor(random.uniform(shape.reduce((a, b) => a * b, 1)), { shape, device });

  test("LayerNorm loses nothing where the mean is large", () => {
    const [rows, cols] = [8, 256];
    const values = Float32Array.from(random.uniform(rows * cols), (value) => 1e4 + 0.01 * value);
    const y = new nn.LayerNorm(cols, { device }).forward(tensor(values, { shape: [rows, cols], device }));
    const expected = [...Array(rows).keys()].flatMap((row) => {
      const part = [...values.subarray(row * cols, (row + 1) * cols)];
      const mean = part.reduce((a, b) => a + b) / cols;
      const variance = part.reduce((a, b) => a + (b - mean) ** 2, 0) / cols;
      return part.map((value) => (value - mean) / Math.sqrt(variance + 1e-5));
    });
    close(y, { shape: [rows, cols], values: expected }, { rtol: 1e-5, atol: 1e-5 });
  });

  test("RMSNorm's default eps is float32's machine epsilon: it keeps rows of tiny numbers and of zeros finite", () => {
    const rms = Math.sqrt(2 ** -30 + 2 ** -23);
    const x = tensor([[2 ** -15, -(2 ** -15)], [0, 0]], { device, requiresGrad: true }); // prettier-ignore
    const y = new nn.RMSNorm(2, { device }).forward(x);
    close(y, { shape: [2, 2], values: [2 ** -15 / rms, -(2 ** -15) / rms, 0, 0] }, { rtol: 1e-6, atol: 0 });
    y.backward(tensor([[0, 0], [1, 2]], { device })); // prettier-ignore
    close(x.grad!, { shape: [2, 2], values: [0, 0, 2 ** 11.5, 2 ** 12.5] }, { rtol: 1e-6 });
  });

  test("RMSNorm of no rows, of rows of one, and of views with weights that are views", () => {
    const empty = tensor([], { shape: [0, 3], device, requiresGrad: true });
    const norm = new nn.RMSNorm(3, { device });
    norm.forward(empty).sum().backward();
    expect([empty.grad!.shape, norm.weight.grad!.toArray()]).toEqual([[0, 3], [0, 0, 0]]); // prettier-ignore
    const one = new nn.RMSNorm(1, { device }).forward(tensor([[4], [-0.5]], { device }));
    close(one, { shape: [2, 1], values: [1, -1] }, { rtol: 1e-5 });
    const [x, w] = [input(3, 5, 2), input(5)];
    const view = x.permute([2, 0, 1]).flip([1]);
    const expected = ops.rmsNorm(tensor(view.toTypedArray(), { shape: [2, 3, 5], device }), tensor(w.toTypedArray(), { device })); // prettier-ignore
    const flipped = tensor(w.data.flip([0]), { device }).flip([0]);
    expect(ops.rmsNorm(view, flipped).toTypedArray()).toEqual(expected.toTypedArray());
  });

  test("GroupNorm with a group a channel is instance normalisation, and takes what Conv gives without a copy", () => {
    const model = new nn.Sequential(
      new nn.Conv(2, 6, 3, { device }),
      new nn.GroupNorm(6, 6, { device, affine: false }),
    );
    expect(Object.keys(model.namedParameters())).toEqual(["0.weight", "0.bias"]);
    const y = model.forward(input(3, 2, 5, 4));
    expect([y.shape, y.data.strides]).toEqual([[3, 6, 5, 4], [120, 1, 24, 6]]); // prettier-ignore
    const zeros = { shape: [3, 6], values: Array<number>(18).fill(0) };
    close(ops.mean(y, { axes: [2, 3] }), zeros, { atol: 1e-5 });
    const ones = { shape: [3, 6], values: Array<number>(18).fill(1) };
    close(ops.mean(ops.mul(y, y), { axes: [2, 3] }), ones, { rtol: 1e-2 });
  });

  test("one norm in evaluation and then in training: both are differentiated", () => {
    const norm = new nn.BatchNorm1d(3, { device });
    const x = tensor(random.uniform(12), { shape: [4, 3], device, requiresGrad: true });
    const first = norm.eval().forward(x).sum();
    const second = norm.train().forward(x).pow(2).sum();
    first.add(second).backward();
    expect(x.grad!.toTypedArray().every(Number.isFinite)).toBe(true);
  });

  test("BatchNorm in training gives every channel mean 0 and variance 1", () => {
    const x = ops.add(ops.mul(input(16, 3, 4, 4), 5), 3);
    const y = new nn.BatchNorm2d(3, { device }).forward(x);
    close(ops.mean(y, { axes: [0, 2, 3] }), { shape: [3], values: [0, 0, 0] }, { atol: 1e-5 });
    close(ops.mean(ops.mul(y, y), { axes: [0, 2, 3] }), { shape: [3], values: [1, 1, 1] }, { rtol: 1e-4 });
  });

  test("BatchNorm of a large mean and small variance keeps its accuracy", () => {
    const values = random.uniform(4096, -1, 1);
    const x = tensor(values.map((v) => 1000 + v), { shape: [4096, 1], device }); // prettier-ignore
    const stored = x.toTypedArray(); // what float32 makes of them
    const mean = Array.from(stored).reduce((sum, v) => sum + v / 4096, 0);
    const variance = Array.from(stored).reduce((sum, v) => sum + (v - mean) ** 2 / 4096, 0);
    const y = new nn.BatchNorm1d(1, { device }).forward(x);
    const expected = Array.from(stored, (v) => (v - mean) / Math.sqrt(variance + 1e-5));
    close(y, { shape: [4096, 1], values: expected }, { atol: 2e-3 });
  });

  test("BatchNorm's running statistics are used, and left alone, in evaluation", () => {
    const norm = new nn.BatchNorm1d(2, { device }).eval();
    norm.runningMean.set([1, 2]);
    norm.runningVar.set([4, 9]);
    close(norm.forward(tensor([[3, 2]], { device })), { shape: [1, 2], values: [1, 0] }, { rtol: 1e-5 });
    expect([norm.runningMean.toArray(), norm.runningVar.toArray()]).toEqual([[1, 2], [4, 9]]); // prettier-ignore
  });

  test("one value for each channel has no variance: refused in training, as PyTorch does, and nothing is written", () => {
    const norm = new nn.BatchNorm1d(2, { device });
    const x = tensor([[3, 2]], { device }); // prettier-ignore
    expect(() => norm.forward(x)).toThrow(/^batchNorm: .*more than one value.*\(1, 2\)/);
    expect(() => new nn.BatchNorm2d(2, { device }).forward(x.reshape([1, 2, 1, 1]))).toThrow(ShapeError);
    close(norm.runningMean, { shape: [2], values: [0, 0] });
    close(norm.runningVar, { shape: [2], values: [1, 1] });
    norm.eval();
    close(norm.forward(x), { shape: [1, 2], values: [3, 2].map((value) => value / Math.sqrt(1 + 1e-5)) });
  });

  test("the composed form of batch normalisation agrees, gradients included", () => {
    const values = random.uniform(6 * 4);
    const weights = { weight: random.uniform(4), bias: random.uniform(4) };
    const run = (forward: (x: Tensor, weight: Tensor, bias: Tensor) => Tensor): Tensor[] => {
      const leaf = (data: Float32Array, shape: number[]): Tensor => tensor(data, { shape, device, requiresGrad: true });
      const [x, weight, bias] = [leaf(values, [6, 4]), leaf(weights.weight, [4]), leaf(weights.bias, [4])];
      const y = forward(x, weight, bias);
      ops.sum(ops.mul(y, ops.mul(y, y))).backward();
      return [y, x.grad!, weight.grad!, bias.grad!];
    };
    const module = new nn.BatchNorm1d(4, { device });
    const expected = run((x, weight, bias) => {
      const centred = ops.sub(x, ops.mean(x, { axes: 0 }));
      const variance = ops.mean(ops.mul(centred, centred), { axes: 0 });
      return ops.add(ops.mul(ops.mul(centred, ops.pow(ops.add(variance, 1e-5), -0.5)), weight), bias);
    });
    module.weight.set(weights.weight);
    module.bias.set(weights.bias);
    const found = run((x, weight, bias) =>
      ops.batchNorm(x, weight, bias, {
        runningMean: module.runningMean,
        runningVar: module.runningVar,
        training: true,
      }),
    );
    found.forEach((result, i) =>
      close(result, { shape: expected[i]!.shape, values: expected[i]!.toTypedArray() }, { atol: 2e-5, rtol: 1e-4 }),
    );
  });

  test("gradients of normalisation agree with finite differences", () => {
    const inputs = [[4, 3], [3], [3]].map((shape) => ({ shape, values: random.uniform(shape[0]! * (shape[1] ?? 1), 0.5, 2) })); // prettier-ignore
    const buffers = { runningMean: init.zeros([3], { device }), runningVar: init.ones([3], { device }) };
    checkGradients((x, w, b) => ops.batchNorm(x, w, b, { ...buffers, training: true }), inputs, { device, step: 2e-3 });
    checkGradients((x, w, b) => ops.layerNorm(x, w, b), inputs, { device, step: 2e-3 });
    checkGradients((x, w) => ops.rmsNorm(x, w), inputs.slice(0, 2), { device, step: 2e-3 });
  });
});
