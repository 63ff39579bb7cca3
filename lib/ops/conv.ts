/** Two-dimensional convolution over NHWC images. */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { checkOptions } from "../ndarray/options.ts";
import { MAX_SIZE } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { checkOperands, checkResult, convNumbers, type Geometry } from "./conv-geometry.ts";
import { checkFloat, checkInteger, contiguous, convSize, releaseCopy } from "./support.ts";

export interface ConvOptions {
  /** Pixels between the places where the kernel is applied. Default 1. */
  stride?: number | undefined;
  /** Zeros on each side of height and width. Default 0. */
  padding?: number | undefined;
  /** Added to every output pixel: (Cout). Default none. */
  bias?: Tensor | null | undefined;
}

function checkConv(x: Tensor, w: Tensor, options: ConvOptions): Geometry {
  const name = "conv";
  const { stride = 1, padding = 0, bias = null } = checkOptions(name, options, ["stride", "padding", "bias"]);
  checkFloat(name, x, "the input");
  checkFloat(name, w, "the weight");
  checkInteger(name, "the stride", stride, 1);
  checkInteger(name, "the padding", padding, 0);
  checkOperands(name, x, w, 2);
  const [n, height, width] = x.shape;
  const [kh, kw, , outputs] = w.shape;
  const shapes = [x.shape, w.shape];
  if (Math.max(height!, width!) + 2 * padding > MAX_SIZE) {
    throw new ShapeError(name, `padding ${padding} makes the image too large`, { shapes });
  }
  const outHeight = convSize(height!, kh!, stride, padding);
  const outWidth = convSize(width!, kw!, stride, padding);
  if (outHeight < 1 || outWidth < 1 || kh === 0 || kw === 0) {
    throw new ShapeError(name, `the kernel does not fit the image with padding ${padding}`, { shapes });
  }
  const outShape = [n!, outHeight, outWidth, outputs!];
  checkResult(name, x, bias, outShape);
  return { numbers: convNumbers(x.shape, outputs!, kh!, kw!, stride, padding), outShape };
}

/**
 * Cross-correlation, as every deep-learning library calls convolution: x (N, H, W, Cin), w (k, k, Cin, Cout) give (N,
 * H', W', Cout) with H' = floor((H + 2 · padding - k) / stride) + 1. im2col happens inside the native kernel, a panel
 * at a time. The gradient of x is not computed when x does not require it.
 *
 * On the CPU, kernels of two or three times their stride (3 × 3; 4 × 4 with stride 2) are applied by Winograd's
 * minimal filtering where that is faster (Lavin and Gray, 2016): the result and the gradients are rounded by up to
 * 1e-6 of the largest ones around instead of 3e-7, so a zero beside large outputs may be small noise. Where a pixel is
 * NaN, infinite or beyond 1e36, whole tiles of 4 × 4 outputs around it are NaN.
 */
export function conv(x: Tensor, w: Tensor, options: ConvOptions = {}): Tensor {
  const { numbers: geometry, outShape } = checkConv(x, w, options);
  const { bias = null } = options;
  const { backend } = x.device;
  const image = contiguous(x.data);
  const weight = contiguous(w.data);
  const offset = bias && contiguous(bias.data);
  const y = NDArray.empty(outShape, image);
  if (y.size > 0) {
    const status = backend.th_conv(y.pointer, image.pointer, weight.pointer, offset?.pointer ?? null, geometry);
    check(status, backend, "conv");
  }

  const inputTensors = bias === null ? [x, w] : [x, w, bias];
  const result = record("conv", y, inputTensors, [image, weight], (g, { saved: [input, kernel], needs }) => {
    const dy = contiguous(g);
    const make = dy.size > 0 ? NDArray.empty : NDArray.zeros; // no images: the kernels have nothing to write
    const dw = needs[1] || needs[2] ? make(kernel.shape, kernel) : null;
    const db = needs[2] ? make(kernel.shape.slice(3), kernel) : null;
    if (dw !== null && dy.size > 0) {
      const status = backend.th_conv_backward_weight(
        dw.pointer,
        db?.pointer ?? null,
        input.pointer,
        dy.pointer,
        geometry,
      );
      check(status, backend, "conv");
    }
    const dx = needs[0] ? make(input.shape, input) : null;
    if (dx !== null && dx.size > 0 && dy.size > 0) {
      check(backend.th_conv_backward_data(dx.pointer, dy.pointer, kernel.pointer, geometry), backend, "conv");
    }
    return [dx, needs[1] ? dw : null, db];
  });
  releaseCopy(image, x.data); // the tape has its own
  releaseCopy(weight, w.data);
  if (offset !== null) releaseCopy(offset, bias!.data);
  return result;
}
