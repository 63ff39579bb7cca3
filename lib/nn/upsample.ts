import type { Tensor } from "../autograd/tensor.ts";
import { upsample } from "../ops/upsample.ts";
import { keepsNothing, Module } from "./module.ts";
import { checkModuleOptions, checkSize, type ModuleOptions } from "./options.ts";
import { checkImages, onPixels } from "./pixels.ts";

/**
 * Every pixel `scale` times, an integer, along height and width, PyTorch's "nearest": x (N, C, H, W) gives (N, C, H ·
 * scale, W · scale).
 */
export class Upsample extends Module {
  static readonly [keepsNothing] = true;

  readonly scale: number;

  constructor(scale: number, options: ModuleOptions = {}) {
    super();
    this.scale = scale;
    checkModuleOptions("Upsample", options);
    checkSize("Upsample", "scale", scale);
  }

  override forward(x: Tensor): Tensor {
    checkImages("Upsample", x);
    return onPixels(x, (pixels) => upsample(pixels, this.scale));
  }
}
