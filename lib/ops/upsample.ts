/** Enlarging NHWC images. */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { checkSize, MAX_SIZE } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { checkFloat, checkInteger, contiguous, releaseCopy } from "./support.ts";

/**
 * Every pixel `scale` times along height and width, PyTorch's "nearest": x (N, H, W, C) gives (N, H · scale, W · scale,
 * C). Gradient: the sum over the copies of each pixel.
 */
export function upsample(x: Tensor, scale: number): Tensor {
  const name = "upsample";
  checkFloat(name, x, "the input");
  checkInteger(name, "the scale", scale, 1);
  const [n, height, width, channels] = x.shape;
  if (x.ndim !== 4) throw new ShapeError(name, "takes images (N, H, W, C)", { shapes: [x.shape] });
  const outShape = [n!, height! * scale, width! * scale, channels!];
  if (Math.max(height!, width!) * scale > MAX_SIZE)
    throw new ShapeError(name, `scale ${scale} makes the image too large`, { shapes: [x.shape] });
  checkSize(name, outShape);
  // The gradient of the sums over windows that touch is each window's, for all its pixels; the gradient of that are the sums.
  const windows = Int32Array.from([...outShape, scale, scale, 0]);
  const { backend } = x.device;
  const image = contiguous(x.data);
  const y = NDArray.empty(outShape, image);
  if (y.size > 0) check(backend.th_avg_pool_backward(y.pointer, image.pointer, windows, 1), backend, name);
  const inShape = x.shape;
  const result = record(name, y, [x], [], (g) => {
    const dy = contiguous(g);
    const dx = NDArray.empty(inShape, dy);
    if (dx.size > 0) check(backend.th_avg_pool(dx.pointer, dy.pointer, windows, 1), backend, name);
    return [dx];
  });
  releaseCopy(image, x.data);
  return result;
}
