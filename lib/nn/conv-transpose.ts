/** The transposed convolution of images as a module. */
import type { Tensor } from "../autograd/tensor.ts";
import * as init from "../init/index.ts";
import { checkTransposed, convTranspose } from "../ops/conv-transpose.ts";
import { type InPyTorch, inPyTorch, keepsNothing, Module } from "./module.ts";
import { checkModuleOptions, checkSize, type ModuleOptions } from "./options.ts";
import { type Parameter, parameter } from "./parameter.ts";
import { checkImages, onPixels } from "./pixels.ts";

export interface ConvTransposeModuleOptions extends ModuleOptions {
  /** Default 1. */
  stride?: number | undefined;
  /** Pixels cut off on each side. Default 0. */
  padding?: number | undefined;
  /** Pixels added at the end of height and width, fewer than the stride. Default 0. */
  outputPadding?: number | undefined;
  /** Default true. */
  bias?: boolean | undefined;
  /** Of the weight's Kaiming initialisation. Default √2, for ReLU; 1/√3 gives PyTorch's default, U(±1/√(out · k²)). */
  gain?: number | undefined;
}

/**
 * Transposed convolution of NCHW images: x (N, in, H, W) gives (N, out, H', W') with H' = (H - 1) · stride - 2 · padding +
 * k + outputPadding. The padding is by default 0, not Conv's floor(k / 2): what keeps a size, or doubles it,
 * depends on the stride too (kernel 4, stride 2 and padding 1 double it). weight (k, k, out, in), that of the
 * convolution back, starts as a Conv's, Kaiming-uniform with the fan out · k² (PyTorch's), bias (out) from
 * U(±1 / √(out · k²)). Images lie in memory as NHWC: the result is a view, and nothing is transposed between layers.
 */
export class ConvTranspose extends Module {
  static readonly [keepsNothing] = true;

  readonly weight: Parameter;
  readonly bias: Parameter | null;
  readonly stride: number;
  readonly padding: number;
  readonly outputPadding: number;

  constructor(inChannels: number, outChannels: number, kernelSize: number, options: ConvTransposeModuleOptions = {}) {
    super();
    const name = "ConvTranspose";
    checkModuleOptions(name, options, ["stride", "padding", "outputPadding", "bias", "gain"]);
    const { stride = 1, padding = 0, outputPadding = 0, bias = true, gain, ...rest } = options;
    for (const [what, value] of Object.entries({ inChannels, outChannels, kernelSize })) checkSize(name, what, value);
    checkTransposed(name, stride, padding, outputPadding);
    const fan = outChannels * kernelSize ** 2;
    const bound = 1 / Math.sqrt(fan);
    const shape = [kernelSize, kernelSize, outChannels, inChannels];
    this.weight = parameter(() => init.kaimingUniform(fan, inChannels * kernelSize ** 2, { ...rest, gain, shape }));
    this.bias = bias ? parameter(() => init.uniform([outChannels], { ...rest, low: -bound, high: bound })) : null;
    this.stride = stride;
    this.padding = padding;
    this.outputPadding = outputPadding;
  }

  override forward(x: Tensor): Tensor {
    checkImages("ConvTranspose", x, this.weight.shape[3]);
    const { stride, padding, outputPadding, bias } = this;
    return onPixels(x, (pixels) => convTranspose(pixels, this.weight, { stride, padding, outputPadding, bias }));
  }

  override [inPyTorch](name: string): InPyTorch {
    return name === "weight" ? { name, axes: [3, 2, 0, 1] } : { name };
  }
}
