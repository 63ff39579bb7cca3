/** Enlarging NHWC images. */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ShapeError } from "../native/errors.ts";
import { reduce } from "../ndarray/arithmetic.ts";
import { checkSize } from "../ndarray/layout.ts";
import { checkInteger, checkTensor } from "./support.ts";

/**
 * Every pixel `scale` times along height and width, PyTorch's "nearest": x (N, H, W, C) gives (N, H · scale, W · scale,
 * C). Gradient: the sum over the copies of each pixel.
 */
export function upsample(x: Tensor, scale: number): Tensor {
  const name = "upsample";
  checkTensor(name, x, "the input");
  checkInteger(name, "the scale", scale, 1);
  const [n, height, width, channels] = x.shape;
  if (x.ndim !== 4) throw new ShapeError(name, "takes images (N, H, W, C)", { shapes: [x.shape] });
  const outShape = [n!, height! * scale, width! * scale, channels!];
  checkSize(name, outShape);
  const copies = [n!, height!, scale, width!, scale, channels!];
  using pixels = x.data.reshape([n!, height!, 1, width!, 1, channels!]);
  using repeated = pixels.broadcastTo(copies);
  return record(name, repeated.reshape(outShape), [x], [], (g) => [
    reduce("sum", g.reshape(copies), { axes: [2, 4] }),
  ]);
}
