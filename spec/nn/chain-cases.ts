/** Layers in a row, with what inference through a container must make of them. */
import { type Device, nn, type Tensor } from "thimble";

const { AvgPool2d, BatchNorm1d, BatchNorm2d, Conv, ConvTranspose, Dropout, Flatten, GlobalAvgPool2d, Linear } = nn;
const { MaxPool2d, ReLU, Residual, Sequential, Tanh, Upsample } = nn;

/** Makes the layers; the shape of their input; the native calls that inference takes. */
type Case = [layers: () => nn.Layer[], shape: number[], calls: string[]];

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

/** A convolution with its norm. */
export const blockOn =
  (device: Device) =>
  (a: number, b: number, stride = 1, relu = true): nn.Sequential =>
    new Sequential(new Conv(a, b, 3, { stride, device }), new BatchNorm2d(b, { relu, device }));

export function chainCases(device: Device): Record<string, Case> {
  const options = { device };
  const block = blockOn(device);
  return {
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
}
