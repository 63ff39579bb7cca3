/** Transposed convolution over NHWC images: the gradient of a convolution as an operation of its own. */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { binary, reduce } from "../ndarray/arithmetic.ts";
import { MAX_SIZE } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { checkOptions } from "../ndarray/options.ts";
import { checkOperands, checkResult, convNumbers, type Geometry } from "./conv-geometry.ts";
import { checkFloat, checkInteger, contiguous, overGradient, releaseCopy } from "./support.ts";

export interface ConvTransposeOptions {
  /** Pixels of the result between the places where the kernel is applied. Default 1. */
  stride?: number | undefined;
  /** Pixels cut off on each side of height and width: the padding of the convolution that this one transposes. Default 0. */
  padding?: number | undefined;
  /** Pixels added at the end of height and width, fewer than the stride. Default 0. */
  outputPadding?: number | undefined;
  /** Added to every output pixel: (Cout). Default none. */
  bias?: Tensor | null | undefined;
}

/** Throws an ArgumentError unless these go together. */
export function checkTransposed(operation: string, stride: number, padding: number, outputPadding: number): void {
  checkInteger(operation, "the stride", stride, 1);
  checkInteger(operation, "the padding", padding);
  checkInteger(operation, "the output padding", outputPadding);
  if (outputPadding >= stride) {
    const problem = `the output padding ${outputPadding} must be smaller than the stride ${stride}`;
    throw new ArgumentError(operation, problem);
  }
}

function checkConvTranspose(x: Tensor, w: Tensor, options: ConvTransposeOptions): Geometry {
  const name = "convTranspose";
  checkOptions(name, options, ["stride", "padding", "outputPadding", "bias"]);
  const { stride = 1, padding = 0, outputPadding = 0, bias = null } = options;
  checkFloat(name, x, "the input");
  checkFloat(name, w, "the weight");
  checkTransposed(name, stride, padding, outputPadding);
  checkOperands(name, x, w, 3);
  const [n, height, width, channels] = x.shape;
  const [kh, kw, outputs] = w.shape;
  const shapes = [x.shape, w.shape];
  if (height === 0 || width === 0) throw new ShapeError(name, "the images have no pixels", { shapes });
  if (kh === 0 || kw === 0) throw new ShapeError(name, "the kernel is empty", { shapes });
  const padded = (size: number, k: number): number => (size - 1) * stride + k + outputPadding;
  const [paddedHeight, paddedWidth] = [padded(height!, kh!), padded(width!, kw!)];
  const outHeight = paddedHeight - 2 * padding;
  const outWidth = paddedWidth - 2 * padding;
  if (outHeight < 1 || outWidth < 1)
    throw new ShapeError(name, `padding ${padding} leaves nothing of the result`, { shapes });
  if (Math.max(paddedHeight, paddedWidth) > MAX_SIZE)
    throw new ShapeError(name, `stride ${stride} makes the image too large`, { shapes });
  const outShape = [n!, outHeight, outWidth, outputs!];
  checkResult(name, x, bias, outShape);
  return { numbers: convNumbers(outShape, channels!, kh!, kw!, stride, padding), outShape };
}

/**
 * Transposed convolution ("deconvolution"; Zeiler et al., 2010): every pixel of x adds the kernel, times its channels, to
 * the result at `stride` times its place. x (N, H, W, Cin) and w (k, k, Cout, Cin) give (N, H', W', Cout) with H' = (H -
 * 1) · stride - 2 · padding + k + outputPadding. w is the weight of the convolution of the same stride and padding that
 * takes images of the result's shape to those of x's, whose gradient this is; PyTorch's (Cin, Cout, k, k), permuted by
 * [2, 3, 1, 0]. The gradient of x is not computed when x does not require it.
 * @throws ShapeError where the padding leaves no pixel, ArgumentError for an output padding that is not below the stride.
 */
export function convTranspose(x: Tensor, w: Tensor, options: ConvTransposeOptions = {}): Tensor {
  const name = "convTranspose";
  const { numbers: geometry, outShape } = checkConvTranspose(x, w, options);
  const { bias = null } = options;
  const { backend } = x.device;
  const image = contiguous(x.data);
  const weight = contiguous(w.data);
  const make = (shape: readonly number[]) => (image.size > 0 ? NDArray.empty : NDArray.zeros)(shape, image);
  let y = make(outShape); // from no channels: zeros
  if (y.size > 0 && image.size > 0)
    check(backend.th_conv_backward_data(y.pointer, image.pointer, weight.pointer, geometry), backend, name);
  if (bias !== null) {
    const sums = y;
    y = binary("add", sums, bias.data, 0, overGradient);
    sums.dispose();
  }

  const inputs = bias === null ? [x, w] : [x, w, bias];
  const result = record(name, y, inputs, [image, weight], (g, { saved: [input, kernel], needs }) => {
    const dy = contiguous(g);
    const isEmpty = dy.size === 0 || input.size === 0; // the kernels have nothing to write
    const gradient = (of: NDArray) => (isEmpty ? NDArray.zeros : NDArray.empty)(of.shape, of);
    const dw = needs[1] ? gradient(kernel) : null;
    if (dw !== null && !isEmpty) {
      const status = backend.th_conv_backward_weight(dw.pointer, null, dy.pointer, input.pointer, geometry);
      check(status, backend, name);
    }
    const dx = needs[0] ? gradient(input) : null;
    if (dx !== null && !isEmpty)
      check(backend.th_conv(dx.pointer, dy.pointer, kernel.pointer, null, geometry), backend, name);
    return [dx, dw, needs[2] ? reduce("sum", dy, { axes: [0, 1, 2] }) : null];
  });
  releaseCopy(image, x.data); // the tape has its own
  releaseCopy(weight, w.data);
  return result;
}
