/** Images: modules take them as PyTorch does, NCHW; operations and memory have them NHWC, so that channels are adjacent. */
import type { Tensor } from "../autograd/tensor.ts";
import { ShapeError } from "../native/errors.ts";
import { checkFloat } from "../ops/support.ts";

export const TO_NHWC = [0, 2, 3, 1];
export const TO_NCHW = [0, 3, 1, 2];
const SWAPPED = [0, 2, 1];

/** What `run` makes of NCHW images as it sees them, NHWC: as NCHW again, both ways a view. Or of NCL sequences, as NLC. */
export function onPixels(x: Tensor, run: (pixels: Tensor) => Tensor): Tensor {
  const pixels = x.permute(x.ndim === 3 ? SWAPPED : TO_NHWC);
  const y = run(pixels);
  const images = y.permute(y.ndim === 3 ? SWAPPED : TO_NCHW);
  pixels.dispose(); // both share their memory with what goes on
  y.dispose();
  return images;
}

/** Throws unless x is images (N, C, H, W) of float32, and of these channels if they are given. */
export function checkImages(module: string, x: Tensor, channels?: number): void {
  checkFloat(module, x, "the input");
  if (x.ndim !== 4 || (channels !== undefined && x.shape[1] !== channels))
    throw new ShapeError(module, `takes images (N, ${channels ?? "C"}, H, W)`, { shapes: [x.shape] });
}
