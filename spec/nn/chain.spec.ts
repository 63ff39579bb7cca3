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
import { blockOn, chainCases } from "./chain-cases.ts";

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

onEachDevice("layers in a row", (device) => {
  const options = { device };
  const { BatchNorm2d, Conv, Flatten, Linear, Residual, Sequential } = nn;
  const block = blockOn(device);

  for (const [name, [make, shape, calls]] of Object.entries(chainCases(device))) {
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
