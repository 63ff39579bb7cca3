/** Layers on each device, alone and in a row. */
import { expect, test } from "bun:test";
import { manualSeed, nn, noGrad, ops, profile, ShapeError, type Tensor, tensor } from "thimble";

import { close, closeNumber } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { Random } from "../support/random.ts";

onEachDevice("layers", (device) => {
  const random = new Random(1);
  const input = (...shape: number[]): Tensor =>
    tensor(random.uniform(shape.reduce((a, b) => a * b, 1)), { shape, device });

  test("activations are the operations of their name", () => {
    const x = input(3, 5);
    expect(new nn.ReLU().forward(x).toArray()).toEqual(ops.relu(x).toArray());
    expect(new nn.Tanh().forward(x).toArray()).toEqual(ops.tanh(x).toArray());
    expect(new nn.Sigmoid().forward(x).toArray()).toEqual(ops.sigmoid(x).toArray());
  });

  test("Flatten keeps the first axis and the logical order, whatever the layout", () => {
    const x = input(2, 3, 4, 5);
    expect(new nn.Flatten().forward(x).shape).toEqual([2, 60]);
    const permuted = x.permute([0, 2, 3, 1]);
    expect(new nn.Flatten().forward(permuted).toTypedArray()).toEqual(permuted.toTypedArray());
    expect(new nn.Flatten().forward(input(7)).shape).toEqual([7, 1]);
  });

  test("Dropout drops in training, and is the identity in evaluation", () => {
    manualSeed(1);
    const x = tensor(new Float32Array(1000).fill(1), { device });
    const dropout = new nn.Dropout(0.3);
    const values = new Set(dropout.forward(x).toTypedArray());
    expect([...values].sort()).toEqual([0, Math.fround(1 / 0.7)]);
    expect(dropout.eval().forward(x).toTypedArray()).toEqual(x.toTypedArray());
  });

  test("Sequential runs in order, Residual adds its input", () => {
    const [a, b] = [new nn.Linear(4, 4, { device }), new nn.Linear(4, 4, { device })];
    const x = input(2, 4);
    const expected = b.forward(ops.relu(a.forward(x)));
    close(new nn.Sequential(a, new nn.ReLU(), b).forward(x), { shape: [2, 4], values: expected.toTypedArray() });
    const residual = new nn.Residual(a).forward(x);
    close(residual, { shape: [2, 4], values: ops.add(a.forward(x), x).toTypedArray() });
    expect(new nn.Sequential().forward(x)).toBe(x);
  });

  test("Conv's padding may be chosen, and is the same recorded or not", () => {
    const x = input(2, 3, 7, 6);
    for (const [kernel, padding, stride] of [
      [3, 0, 1],
      [2, 1, 1],
      [4, 0, 2],
      [1, 2, 3],
    ] as const) {
      // prettier-ignore
      const conv = new nn.Conv(3, 4, kernel, { device, padding, stride });
      const expected = ops.conv(x.permute([0, 2, 3, 1]), conv.weight, { stride, padding, bias: conv.bias });
      const values = expected.permute([0, 3, 1, 2]).toArray();
      expect(conv.forward(x).toArray()).toEqual(values);
      const inferred = noGrad(() => new nn.Sequential(conv).forward(x));
      close(inferred, { shape: expected.permute([0, 3, 1, 2]).shape, values: conv.forward(x).toTypedArray() });
    }
  });

  test("Conv pads by floor(k / 2): stride 1 keeps the size of odd kernels", () => {
    for (const k of [1, 3, 5, 7]) {
      expect(new nn.Conv(2, 3, k, { device }).forward(input(2, 2, 6, 5)).shape).toEqual([2, 3, 6, 5]);
      expect(new nn.Conv(2, 3, k, { device, stride: 2 }).forward(input(2, 2, 7, 8)).shape).toEqual([2, 3, 4, 4]);
    }
  });

  test("Conv and BatchNorm2d in a row: evaluation in one pass gives what they give one by one, in training they train", () => {
    const [conv, norm] = [new nn.Conv(3, 5, 3, { device, stride: 2 }), new nn.BatchNorm2d(5, { device, relu: true })];
    const model = new nn.Sequential(conv, norm, new nn.Conv(5, 4, 1, { device }), new nn.BatchNorm2d(4, { device }));
    const x = input(2, 3, 7, 6);
    for (let i = 0; i < 3; i++) model.forward(x); // moves the running statistics
    expect(norm.runningMean.toTypedArray().every((mean) => mean !== 0)).toBe(true);
    model.eval();
    const expected = model.modules.reduce((y, module) => module.forward(y), x); // with gradients, one by one
    expect(expected.requiresGrad).toBe(true);
    const found = noGrad(() => model.forward(x));
    close(found, { shape: expected.shape, values: expected.toTypedArray() }, { atol: 1e-6 });
    model.forward(x).sum().backward(); // evaluation with gradients still has them
    expect(conv.weight.grad!.shape).toEqual([3, 3, 3, 5]);
    const other = new nn.BatchNorm2d(6, { device }).eval();
    expect(() => conv.forwardNormalized(x, other)).toThrow(ShapeError);
  });

  test("a network with pooling: Sequential gives what its modules give one by one, trained or not", () => {
    manualSeed(2);
    const model = new nn.Sequential(
      new nn.Conv(3, 8, 3, { device }),
      new nn.BatchNorm2d(8, { device }),
      new nn.ReLU(),
      new nn.MaxPool2d(2),
      new nn.Flatten(),
      new nn.Linear(8 * 3 * 4, 5, { device }),
    );
    const x = input(4, 3, 7, 8);
    /** The result and all gradients; in training also what the statistics have become. */
    const run = (forward: () => Tensor): Tensor[] => {
      for (const parameter of model.parameters()) parameter.grad = null;
      const norm = model.modules[1] as nn.BatchNorm2d;
      norm.runningMean.set(new Float32Array(8).fill(0.1));
      const y = forward();
      y.mul(y).sum().backward();
      return [y, norm.runningMean.detach().mul(1), ...model.parameters().map(({ grad }) => grad!)];
    };
    for (const training of [true, false]) {
      model.train(training);
      const expected = run(() => model.modules.reduce((y, module) => module.forward(y), x));
      run(() => model.forward(x)).forEach((result, i) =>
        close(result, { shape: expected[i]!.shape, values: expected[i]!.toTypedArray() }),
      );
      const inferred = noGrad(() => model.forward(x));
      close(inferred, { shape: [4, 5], values: expected[0]!.toTypedArray() }, { rtol: 1e-4, atol: 1e-5 });
    }
  });

  test("images stay as they lie in memory: pooling, up-sampling and transposed convolution copy nothing between them", () => {
    const layers = [
      new nn.MaxPool2d(2),
      new nn.AvgPool2d(3, { stride: 1, padding: 1 }),
      new nn.Upsample(3),
      new nn.ConvTranspose(4, 4, 2, { device, bias: false }),
    ];
    let x = input(2, 4, 8, 6);
    const shapes = layers.map((layer) => {
      x = layer.forward(x);
      expect(x.permute([0, 2, 3, 1]).data.isCompact()).toBe(true);
      return x.shape;
    });
    expect(shapes).toEqual([[2, 4, 4, 3], [2, 4, 4, 3], [2, 4, 12, 9], [2, 4, 13, 10]]); // prettier-ignore
    const calls = profile(() => layers[0]!.forward(x), { device }).profile.calls.map(({ work }) => work.name);
    expect(calls).toEqual(["max pool"]);
  });

  test("ConvTranspose starts as Conv does, and is not padded by default", () => {
    manualSeed(3);
    const layer = new nn.ConvTranspose(16, 24, 4, { stride: 2, gain: 1 / Math.sqrt(3), device });
    const bound = 1 / Math.sqrt(24 * 16);
    expect(layer.weight.shape).toEqual([4, 4, 24, 16]);
    for (const values of [layer.weight.toTypedArray(), layer.bias!.toTypedArray()]) {
      const largest = Math.max(...values.map(Math.abs));
      expect(largest).toBeLessThanOrEqual(bound * (1 + 1e-6));
      expect(largest).toBeGreaterThan(0.8 * bound);
    }
    expect(layer.forward(input(1, 16, 5, 3)).shape).toEqual([1, 24, 12, 8]);
  });

  test("GlobalAvgPool2d is the mean over pixels", () => {
    const x = input(2, 3, 4, 5);
    expect(new nn.GlobalAvgPool2d().forward(x).toArray()).toEqual(x.mean({ axes: [2, 3], keepDims: true }).toArray());
  });

  test("views as weights and statistics are read as views", () => {
    const x = input(5, 3);
    const norm = (w: Tensor, b: Tensor, mean: Tensor, variance: Tensor, training: boolean): ArrayLike<number> =>
      ops.batchNorm(x, w, b, { runningMean: mean, runningVar: variance, training }).toTypedArray();
    const [w, b, m, v] = [[1, 2, 3], [4, 5, 6], [0.1, 0.2, 0.3], [1, 2, 4]].map((list) => tensor(list, { device })) as [Tensor, Tensor, Tensor, Tensor]; // prettier-ignore
    const flipped = (t: Tensor): Tensor => tensor(t.data.flip([0]), { device }).flip([0]);
    for (const training of [false, true]) {
      const expected = norm(w, b, m.detach(), v.detach(), training);
      expect(norm(flipped(w), flipped(b), m, v, training)).toEqual(expected);
      if (!training) expect(norm(w, b, flipped(m), flipped(v), training)).toEqual(expected);
    }
    expect(ops.layerNorm(x, flipped(w), flipped(b)).toTypedArray()).toEqual(ops.layerNorm(x, w, b).toTypedArray());
    const weight = input(3, 3);
    const linear = ops.linear(x, weight, b);
    const turned = tensor(weight.transpose().toTypedArray(), { shape: [3, 3], device }).transpose();
    close(ops.linear(x, turned, flipped(b)), { shape: [5, 3], values: linear.toTypedArray() });
    const spaced = ops.slice(tensor([4, NaN, 5, NaN, 6, NaN], { device }), [0, 6, 2]);
    close(ops.linear(x.flip([0]).flip([0]), weight, spaced), { shape: [5, 3], values: linear.toTypedArray() });
    const images = input(1, 4, 4, 3).permute([0, 3, 1, 2]).permute([0, 2, 3, 1]);
    const kernel = input(1, 1, 3, 3);
    const expected = ops.conv(images, kernel, { bias: b });
    close(ops.conv(images, kernel, { bias: spaced }), { shape: [1, 4, 4, 3], values: expected.toTypedArray() });
  });

  test("SoftmaxLoss takes views of logits and labels", () => {
    const logits = input(3, 4);
    const loss = new nn.SoftmaxLoss().forward(
      logits.transpose().flip([0]),
      tensor([0, 2, 1, 1], { dtype: "int32", device }),
    );
    const copied = tensor(logits.transpose().flip([0]).toTypedArray(), { shape: [4, 3], device });
    const labels = tensor([1, 1, 2, 0], { dtype: "int32", device }).flip([0]);
    closeNumber(new nn.SoftmaxLoss().forward(copied, labels).item(), loss.item());
  });
});
