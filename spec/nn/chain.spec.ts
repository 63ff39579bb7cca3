/**
 * Inference through containers runs layers in a row as one native call. The reference is the same modules one by one, which
 * have their own specs; the profile says how many calls it took.
 */
import { expect, test } from "bun:test";

import { type Device, DisposedError, manualSeed, nn, noGrad, ops, profile, ShapeError, Tensor, tensor } from "thimble";
import { ResNet9 } from "thimble/models";

import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { liveBytes } from "../support/live-bytes.ts";
import { Random } from "../support/random.ts";

const random = new Random(5);

function input(device: Device, shape: readonly number[]): Tensor {
  return tensor(random.uniform(shape.reduce((a, b) => a * b, 1)), { shape, device });
}

/** Gives batch normalisation statistics that are not those of new modules. */
function unsettle(module: nn.Module): void {
  for (const [name, value] of Object.entries(module.stateDict())) {
    if (/running|bias|weight$/.test(name) && value.ndim === 1) value.set(random.uniform(value.size, 0.2, 1.2));
  }
}

/** What a module gives for inference, and the native calls it made. */
function infer(module: nn.Layer, x: Tensor): { y: Tensor; calls: string[] } {
  const { result, profile: taken } = profile(() => noGrad(() => module.forward(x)), { device: x.device });
  return { y: result, calls: taken.calls.map(({ work }) => work.name) };
}

/** A user's module: containers know nothing of it. */
class Doubled extends nn.Module {
  override forward(x: Tensor): Tensor {
    return x.mul(2);
  }
}

/** A user's convolution that does something else. */
class Negated extends nn.Conv {
  override forward(x: Tensor): Tensor {
    return super.forward(x).neg();
  }
}

onEachDevice("layers in a row", (device) => {
  const options = { device };
  const { BatchNorm1d, BatchNorm2d, Conv, Dropout, Flatten, Linear, ReLU, Residual, Sequential, Tanh } = nn;
  const { AvgPool2d, ConvTranspose, GlobalAvgPool2d, MaxPool2d, Upsample } = nn;
  const block = (a: number, b: number, stride = 1, relu = true) =>
    new Sequential(new Conv(a, b, 3, { stride, ...options }), new BatchNorm2d(b, { relu, ...options }));

  /** Modules, the shape of their input, and the calls that inference takes. */
  const cases: Record<string, [() => nn.Layer[], number[], string[]]> = {
    "a convolution": [() => [new Conv(3, 5, 3, options)], [4, 3, 7, 6], ["layers"]],
    "without bias": [() => [new Conv(3, 5, 3, { bias: false, ...options })], [4, 3, 7, 6], ["layers"]],
    "convolution, norm and ReLU": [() => [block(3, 16, 2), new ReLU()], [9, 3, 8, 8], ["layers"]],
    "norm, then ReLU": [() => [block(3, 8, 1, false), new ReLU()], [3, 3, 8, 8], ["layers"]],
    "a residual": [
      () => [block(3, 8), new Residual(new Sequential(block(8, 8), block(8, 8)))],
      [5, 3, 6, 6],
      ["layers"],
    ],
    "a residual with ReLU after it": [
      () => [block(3, 8), new Residual(new Sequential(block(8, 8), block(8, 8, 1, false))), new ReLU(), block(8, 4)],
      [5, 3, 6, 6],
      ["layers"],
    ],
    "a residual at the start, of views": [
      () => [new Residual(block(3, 3)), block(3, 4)],
      [2, 3, 5, 5],
      ["copy", "layers"],
    ],
    "residuals in residuals": [
      () => [new Residual(new Sequential(new Residual(block(3, 3)), block(3, 3))), new Residual(block(3, 3))],
      [7, 3, 5, 4],
      ["layers"],
    ],
    "a residual that ends with a residual": [
      () => [block(3, 3), new Residual(new Sequential(block(3, 3), new Residual(block(3, 3))))],
      [2, 3, 4, 4],
      ["layers", "layers", "add"],
    ],
    "linear layers": [
      () => [
        new Linear(6, 40, options),
        new ReLU(),
        new Dropout(),
        new Linear(40, 33, options),
        new BatchNorm1d(33, options),
      ],
      [70, 6],
      ["layers"],
    ],
    "one row": [() => [new Linear(300, 40, options), new ReLU(), new Linear(40, 7, options)], [1, 300], ["layers"]],
    "a classifier": [
      () => [block(3, 8, 2), new Conv(8, 6, 4, options), new Flatten(), new Linear(6 * 9, 10, options)],
      [3, 3, 4, 4],
      ["copy", "layers", "copy", "layers"], // channels are innermost: flattening moves them
    ],
    "flattening single pixels": [
      () => [
        new Conv(3, 8, 3, { stride: 4, ...options }),
        new Flatten(),
        new BatchNorm1d(8, options),
        new Linear(8, 10, options),
      ],
      [33, 3, 4, 4],
      ["layers"],
    ],
    "flattening one channel": [
      () => [block(3, 1), new Flatten(), new ReLU(), new Linear(12, 2, options)],
      [3, 3, 4, 3],
      ["layers", "relu", "layers"], // what follows would be of other channels
    ],
    "a norm of its own": [
      () => [new BatchNorm2d(3, options), block(3, 4)],
      [2, 3, 4, 4],
      ["batch norm inference", "layers"],
    ],
    "other activations": [() => [block(3, 4), new Tanh(), block(4, 4)], [2, 3, 4, 4], ["layers", "tanh", "layers"]],
    "pooling, flattened": [
      () => [block(3, 4), new ReLU(), new MaxPool2d(2), new Flatten(), new Linear(12, 5, options), new ReLU()],
      [4, 3, 7, 3],
      ["copy", "layers", "max pool", "copy", "layers"], // channels are innermost: flattening moves them
    ],
    "pooling between convolutions, of all pixels in the end": [
      () => [
        block(3, 4),
        new MaxPool2d(3, { stride: 2, padding: 1 }),
        block(4, 5),
        new AvgPool2d(2),
        new GlobalAvgPool2d(),
        new Flatten(),
        new Linear(5, 2, options),
      ],
      [4, 3, 9, 8],
      ["layers", "max pool", "layers", "avg pool", "sum", "layers"],
    ],
    "up-sampling and transposed convolution": [
      () => [
        block(3, 4),
        new Upsample(2),
        block(4, 4),
        new ConvTranspose(4, 3, 4, { stride: 2, ...options }),
        block(3, 2),
      ],
      [2, 3, 4, 3],
      ["layers", "upsample", "layers", "conv backward data", "add", "layers"],
    ],
    "a residual around pooling": [
      () => [block(3, 4), new Residual(new MaxPool2d(3, { stride: 1, padding: 1 })), block(4, 2)],
      [2, 3, 4, 4],
      ["layers", "max pool", "add", "layers"],
    ],
    "a user's module": [
      () => [block(3, 4), new Doubled(), block(4, 4)],
      [2, 3, 4, 4],
      ["layers", "mulScalar", "layers"],
    ],
    "a user's module within": [
      () => [block(3, 4), new Sequential(block(4, 4), new Doubled())],
      [2, 3, 4, 4],
      ["layers", "layers", "mulScalar"],
    ],
    "a residual of a user's module": [
      () => [block(3, 4), new Residual(new Doubled())],
      [2, 3, 4, 4],
      ["layers", "mulScalar", "add"],
    ],
    "a residual of nothing": [() => [block(3, 4), new Residual(new Dropout())], [2, 3, 4, 4], ["layers", "add"]],
    "a residual of an activation": [
      () => [block(3, 4, 1, false), new Residual(new ReLU())],
      [2, 3, 4, 4],
      ["layers", "relu", "add"],
    ],
    "a subclass with a forward of its own": [
      () => [new Negated(3, 4, 3, options), block(4, 4)],
      [2, 3, 4, 4],
      ["conv", "neg", "layers"],
    ],
    "a large weight for few rows": [() => [new Linear(1024, 1024, options), new ReLU()], [3, 1024], ["matmul", "relu"]],
    "a large weight for one row": [() => [new Linear(1024, 1024, options), new ReLU()], [1, 1024], ["layers"]],
  };

  for (const [name, [make, shape, calls]] of Object.entries(cases)) {
    test(`${name}: as one by one`, () => {
      manualSeed(3);
      const model = new Sequential(...make());
      unsettle(model);
      model.eval();
      const x = shape.length === 4 && !calls.includes("copy") ? asPixels(input(device, shape)) : input(device, shape);
      const expected = oneByOne(model, x);
      const { y, calls: made } = infer(model, x);
      close(y, { shape: expected.shape, values: expected.toTypedArray() }, { rtol: 1e-5, atol: 1e-4 });
      expect(made).toEqual(calls);
      expect(y.requiresGrad).toBe(false);
    });
  }

  test("ResNet-9, of any number of images", () => {
    manualSeed(3);
    const model = new ResNet9(options).eval();
    unsettle(model);
    for (const n of [1, 2, 3, 17]) {
      const x = asPixels(input(device, [n, 3, 32, 32]));
      const expected = oneByOne(model.layers, x);
      const { y, calls } = infer(model, x);
      close(y, { shape: [n, 10], values: expected.toTypedArray() }, { rtol: 1e-4, atol: 1e-4 });
      expect(calls).toEqual(["layers"]);
    }
  });

  test("no images", () => {
    const model = new Sequential(block(3, 4), new Flatten(), new Linear(4 * 16, 2, options)).eval();
    expect(infer(model, input(device, [0, 3, 4, 4])).y.shape).toEqual([0, 2]);
  });

  test("in training, batch normalisation trains", () => {
    const model = new Sequential(block(3, 4), block(4, 4));
    expect(infer(model, asPixels(input(device, [2, 3, 4, 4]))).calls).toEqual([
      "layers",
      "batch norm",
      "layers",
      "batch norm",
    ]);
  });

  test("where gradients are recorded, layers record", () => {
    const model = new Sequential(block(3, 4)).eval();
    const y = model.forward(input(device, [2, 3, 4, 4]));
    y.sum().backward();
    expect(model.parameters().every((parameter) => parameter.grad !== null)).toBe(true);
  });

  test("parameters that are views are read as views", () => {
    const conv = new Conv(3, 4, 3, options);
    const norm = new BatchNorm2d(4, options).eval();
    norm.weight.data = tensor(random.uniform(8), { device }).data.slice([0, 8, 2]).keep();
    const x = asPixels(input(device, [2, 3, 4, 4]));
    const expected = noGrad(() => norm.forward(conv.forward(x)));
    close(
      infer(new Sequential(conv, norm), x).y,
      { shape: expected.shape, values: expected.toTypedArray() },
      { atol: 1e-5 },
    );
  });

  test("what does not fit is refused by the layer it does not fit", () => {
    const model = new Sequential(block(3, 4), new Conv(5, 4, 3, options)).eval();
    const refused = (run: () => unknown): unknown => {
      try {
        return run();
      } catch (error) {
        return error;
      }
    };
    const images = input(device, [2, 3, 4, 4]);
    expect(String(refused(() => infer(model, images)))).toMatch(/takes images \(N, 5, H, W\)/);
    expect(refused(() => infer(new Sequential(block(3, 4)).eval(), input(device, [2, 4, 4, 4])))).toBeInstanceOf(
      ShapeError,
    );
    expect(
      refused(() => infer(new Sequential(new Conv(3, 4, 3, options), new BatchNorm2d(5, options)).eval(), images)),
    ).toBeInstanceOf(ShapeError);
    expect(refused(() => infer(new Sequential(new Linear(4, 4, options)), input(device, [2, 5])))).toBeInstanceOf(
      ShapeError,
    );
    images.dispose();
    expect(refused(() => infer(new Sequential(block(3, 4)).eval(), images))).toBeInstanceOf(DisposedError);
    const broken = new Sequential(block(3, 4)).eval();
    broken.parameters()[0]!.dispose();
    expect(refused(() => infer(broken, input(device, [2, 3, 4, 4])))).toBeInstanceOf(DisposedError);
  });

  test("gives back all it took, but for its result", () => {
    const model = new Sequential(block(3, 4), new Residual(block(4, 4)), new Conv(4, 2, 1, options)).eval();
    const x = asPixels(input(device, [4, 3, 8, 8]));
    const step = () => noGrad(() => model.forward(x)).dispose();
    step();
    const before = liveBytes(device);
    for (let i = 0; i < 10; i++) step();
    expect(device.memory().live).toBeLessThanOrEqual(before);
  });
});

/** The same images with their channels innermost in memory, as convolutions want them. */
function asPixels(x: Tensor): Tensor {
  return new Tensor(x.data.permute([0, 2, 3, 1]).compact().permute([0, 3, 1, 2]));
}

/** What containers do, module by module: recorded, since gradients are on. */
function oneByOne(module: nn.Layer, x: Tensor): Tensor {
  if (module instanceof nn.Sequential) return module.modules.reduce((y, each) => oneByOne(each, y), x);
  if (module instanceof nn.Residual) return ops.add(oneByOne(module.module, x), x);
  return module.forward(x);
}

onEachDevice("a chain longer than its table at first", (device) => {
  test("is what its layers give one by one", () => {
    const layers = Array.from({ length: 40 }, () => new nn.Linear(6, 6, { device }));
    const model = new nn.Sequential(...layers);
    const x = input(device, [3, 6]);
    const expected = layers.reduce((y, layer) => layer.forward(y), x);
    const { y, calls } = infer(model, x);
    expect(calls).toHaveLength(1);
    close(y, { shape: expected.shape, values: [...expected.toTypedArray()] });
  });
});
