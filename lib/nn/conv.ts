/** The convolution of images as a module. */
import type { Tensor } from "../autograd/tensor.ts";
import * as init from "../init/index.ts";
import { ShapeError } from "../native/errors.ts";
import { conv, type ConvOptions } from "../ops/conv.ts";
import { checkFloat, checkInteger } from "../ops/support.ts";
import type { Chain } from "./chain.ts";
import { type InPyTorch, inPyTorch, joins, keepsNothing, Module } from "./module.ts";
import { checkModuleOptions, checkSize, type ModuleOptions } from "./options.ts";
import { type Parameter, parameter } from "./parameter.ts";
import type { BatchNorm2d } from "./norm.ts";
import { onPixels } from "./pixels.ts";

export interface ConvModuleOptions extends ModuleOptions {
  /** Default 1. */
  stride?: number | undefined;
  /**
   * Zeros on each side. Default floor(kernelSize / 2), which keeps the size where the kernel is odd and the stride 1.
   */
  padding?: number | undefined;
  /** Default true. */
  bias?: boolean | undefined;
  /** Of the weight's Kaiming initialisation. Default √2, for ReLU; 1/√3 gives PyTorch's default, U(±1/√(in · k²)). */
  gain?: number | undefined;
}

/**
 * Convolution of NCHW images: x (N, in, H, W) gives (N, out, H', W') with H' = floor((H + 2 · padding - k) / stride)
 * + 1; by default it is padded so that stride 1 keeps the size. weight (k, k, in, out) starts Kaiming-uniform, bias
 * (out) from U(±1 / √(in · k²)). Images lie in memory as NHWC: the result is a view, and nothing is transposed
 * between layers.
 */
export class Conv extends Module {
  static readonly [keepsNothing] = true;

  readonly weight: Parameter;
  readonly bias: Parameter | null;
  readonly stride: number;
  readonly padding: number;

  constructor(inChannels: number, outChannels: number, kernelSize: number, options: ConvModuleOptions = {}) {
    super();
    checkModuleOptions("Conv", options, ["stride", "padding", "bias", "gain"]);
    const { stride = 1, padding = Math.floor(kernelSize / 2), bias = true, gain, ...rest } = options;
    for (const [name, value] of Object.entries({ inChannels, outChannels, kernelSize, stride }))
      checkSize("Conv", name, value);
    checkInteger("Conv", "padding", padding);
    const fan = inChannels * kernelSize ** 2;
    const bound = 1 / Math.sqrt(fan);
    const shape = [kernelSize, kernelSize, inChannels, outChannels];
    this.weight = parameter(() => init.kaimingUniform(fan, outChannels * kernelSize ** 2, { ...rest, gain, shape }));
    this.bias = bias ? parameter(() => init.uniform([outChannels], { ...rest, low: -bound, high: bound })) : null;
    this.stride = stride;
    this.padding = padding;
  }

  override forward(x: Tensor): Tensor {
    return this.onPixels(x, (pixels) => conv(pixels, this.weight, geometry(this)));
  }

  override [joins](chain: Chain): boolean {
    return chain.conv(this);
  }

  override [inPyTorch](name: string): InPyTorch {
    return name === "weight" ? { name, axes: [3, 2, 0, 1] } : { name };
  }

  /**
   * norm.forward(this.forward(x)), the pixels staying as they lie in between. Sequential does it for the two in a row.
   */
  forwardNormalized(x: Tensor, norm: BatchNorm2d): Tensor {
    return this.onPixels(x, (pixels) => {
      const y = conv(pixels, this.weight, geometry(this));
      const normalized = norm.normalize(y);
      y.dispose();
      return normalized;
    });
  }

  private onPixels(x: Tensor, run: (pixels: Tensor) => Tensor): Tensor {
    checkFloat("Conv", x, "the input");
    if (x.ndim !== 4) throw new ShapeError("Conv", "takes images (N, C, H, W)", { shapes: [x.shape] });
    const channels = this.weight.shape[2];
    if (x.shape[1] !== channels)
      throw new ShapeError("Conv", `takes images (N, ${channels}, H, W)`, { shapes: [x.shape, this.weight.shape] });
    return onPixels(x, run);
  }
}

const geometry = ({ stride, padding, bias }: Conv): ConvOptions => ({ stride, padding, bias });
