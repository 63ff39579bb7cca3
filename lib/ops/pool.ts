/** Pooling over NHWC images: the maximum or the mean of each square window. */
import { gradEnabled } from "../autograd/mode.ts";
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { checkSize, MAX_SIZE } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { checkOptions } from "../ndarray/options.ts";
import { checkFloat, checkInteger, contiguous, convSize, releaseCopy } from "./support.ts";

export interface PoolOptions {
  /** Pixels between windows. Default: the kernel size, so that they touch. */
  stride?: number | undefined;
  /** Pixels added on each side of height and width, at most half of the kernel size. Default 0. */
  padding?: number | undefined;
}

/** Throws an ArgumentError unless there can be such windows. */
export function checkWindow(operation: string, kernelSize: number, stride: number, padding: number): void {
  checkInteger(operation, "the kernel size", kernelSize, 1);
  checkInteger(operation, "the stride", stride, 1);
  checkInteger(operation, "the padding", padding);
  if (padding > kernelSize / 2)
    throw new ArgumentError(operation, `the padding ${padding} is more than half of the kernel size ${kernelSize}`);
}

/** What pooling of checked operands is. */
interface Geometry {
  /** n, h, w, c, k, stride, padding: what the kernels are told. */
  readonly numbers: Int32Array;
  /** (N, H', W', C). */
  readonly outShape: readonly number[];
}

function checkPool(name: string, x: Tensor, kernelSize: number, options: PoolOptions): Geometry {
  const { stride = kernelSize, padding = 0 } = checkOptions(name, options, ["stride", "padding"]);
  checkFloat(name, x, "the input");
  checkWindow(name, kernelSize, stride, padding);
  const shapes = [x.shape];
  const [n, height, width, channels] = x.shape;
  if (x.ndim !== 4) throw new ShapeError(name, "takes images (N, H, W, C)", { shapes });
  if (height === 0 || width === 0) throw new ShapeError(name, "the images have no pixels", { shapes });
  if (Math.max(height!, width!) + 2 * padding > MAX_SIZE)
    throw new ShapeError(name, `padding ${padding} makes the image too large`, { shapes });
  const outHeight = convSize(height!, kernelSize, stride, padding);
  const outWidth = convSize(width!, kernelSize, stride, padding);
  if (outHeight < 1 || outWidth < 1) {
    const problem = `a window of ${kernelSize} × ${kernelSize} does not fit the image with padding ${padding}`;
    throw new ShapeError(name, problem, { shapes });
  }
  const outShape = [n!, outHeight, outWidth, channels!];
  checkSize(name, outShape);
  const numbers = new Int32Array(7);
  numbers[0] = n!;
  numbers[1] = height!;
  numbers[2] = width!;
  numbers[3] = channels!;
  numbers[4] = kernelSize;
  numbers[5] = stride;
  numbers[6] = padding;
  return { numbers, outShape };
}

/**
 * The maximum of each window of kernelSize × kernelSize pixels: x (N, H, W, C) gives (N, H', W', C) with H' = floor((H +
 * 2 · padding - k) / stride) + 1. Padding is never the maximum; NaN is. Gradient: to the pixel that is the maximum, the
 * first of equal ones.
 * @throws ShapeError where not even one window fits, ArgumentError for padding of more than half of the kernel size.
 */
export function maxPool(x: Tensor, kernelSize: number, options: PoolOptions = {}): Tensor {
  const name = "maxPool";
  const { numbers: geometry, outShape } = checkPool(name, x, kernelSize, options);
  const { backend } = x.device;
  const image = contiguous(x.data);
  const y = NDArray.empty(outShape, image);
  const isRecorded = gradEnabled() && x.requiresGrad;
  const index = isRecorded ? NDArray.empty(outShape, { dtype: "int32", device: x.device }) : null;
  if (y.size > 0) check(backend.th_max_pool(y.pointer, index?.pointer ?? null, image.pointer, geometry), backend, name);
  const inShape = x.shape;
  const result = record(name, y, [x], index === null ? [] : [index], (g, { saved: [from] }) => {
    const dy = contiguous(g);
    const dx = NDArray.empty(inShape, dy);
    if (dx.size > 0)
      check(backend.th_max_pool_backward(dx.pointer, dy.pointer, from!.pointer, geometry), backend, name);
    return [dx];
  });
  releaseCopy(image, x.data);
  index?.dispose(); // the tape has its own
  return result;
}

/**
 * The mean of each window of kernelSize × kernelSize pixels, padding counted as zeros (PyTorch's count_include_pad): x
 * (N, H, W, C) gives (N, H', W', C) with H' = floor((H + 2 · padding - k) / stride) + 1.
 * @throws as {@link maxPool}.
 */
export function avgPool(x: Tensor, kernelSize: number, options: PoolOptions = {}): Tensor {
  const name = "avgPool";
  const { numbers: geometry, outShape } = checkPool(name, x, kernelSize, options);
  const { backend } = x.device;
  const share = 1 / kernelSize ** 2;
  const image = contiguous(x.data);
  const y = NDArray.empty(outShape, image);
  if (y.size > 0) check(backend.th_avg_pool(y.pointer, image.pointer, geometry, share), backend, name);
  const inShape = x.shape;
  const result = record(name, y, [x], [], (g) => {
    const dy = contiguous(g);
    const dx = NDArray.empty(inShape, dy);
    if (dx.size > 0) check(backend.th_avg_pool_backward(dx.pointer, dy.pointer, geometry, share), backend, name);
    return [dx];
  });
  releaseCopy(image, x.data);
  return result;
}
