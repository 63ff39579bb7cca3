/** Pooling of NCHW images, which lie in memory as NHWC: the results are views, and nothing is transposed between layers. */
import type { Tensor } from "../autograd/tensor.ts";
import { ShapeError } from "../native/errors.ts";
import { avgPool, checkWindow, maxPool, type PoolOptions } from "../ops/pool.ts";
import { mean } from "../ops/reduce.ts";
import { Stateless } from "./activation.ts";
import { keepsNothing, Module } from "./module.ts";
import { checkModuleOptions, type ModuleOptions } from "./options.ts";
import { checkImages, onPixels } from "./pixels.ts";

export interface PoolModuleOptions extends ModuleOptions, PoolOptions {}

/** Square windows over images. */
abstract class Pool2d extends Module {
  readonly stride: number;
  readonly padding: number;

  readonly kernelSize: number;

  constructor(kernelSize: number, options: PoolModuleOptions = {}) {
    super();
    this.kernelSize = kernelSize;
    const name = this.constructor.name;
    const { stride = kernelSize, padding = 0 } = checkModuleOptions(name, options, ["stride", "padding"]);
    checkWindow(name, kernelSize, stride, padding);
    this.stride = stride;
    this.padding = padding;
  }

  protected pool(name: string, x: Tensor, operation: typeof maxPool): Tensor {
    checkImages(name, x);
    const { kernelSize, stride, padding } = this;
    return onPixels(x, (pixels) => operation(pixels, kernelSize, { stride, padding }));
  }
}

/**
 * The maximum of each window of kernelSize × kernelSize pixels: x (N, C, H, W) gives (N, C, H', W') with H' = floor((H +
 * 2 · padding - k) / stride) + 1. The stride is by default the kernel size, the padding, at most half of that, 0.
 */
export class MaxPool2d extends Pool2d {
  static readonly [keepsNothing] = true;

  override forward(x: Tensor): Tensor {
    return this.pool("MaxPool2d", x, maxPool);
  }
}

/** The mean of each window, padding counted as zeros; sizes and options as {@link MaxPool2d}'s. */
export class AvgPool2d extends Pool2d {
  static readonly [keepsNothing] = true;

  override forward(x: Tensor): Tensor {
    return this.pool("AvgPool2d", x, avgPool);
  }
}

/** The mean of all pixels of each image: x (N, C, H, W) gives (N, C, 1, 1), as PyTorch's AdaptiveAvgPool2d(1). */
export class GlobalAvgPool2d extends Stateless {
  static readonly [keepsNothing] = true;

  override forward(x: Tensor): Tensor {
    const name = "GlobalAvgPool2d";
    checkImages(name, x);
    if (x.shape[2] === 0 || x.shape[3] === 0)
      throw new ShapeError(name, "the images have no pixels", { shapes: [x.shape] });
    return mean(x, { axes: [2, 3], keepDims: true });
  }
}
