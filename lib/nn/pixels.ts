import type { Tensor } from "../autograd/tensor.ts";

export const TO_NHWC = [0, 2, 3, 1];
export const TO_NCHW = [0, 3, 1, 2];

/** What `run` makes of NCHW images as it sees them, NHWC: as NCHW again, both ways a view. */
export function onPixels(x: Tensor, run: (pixels: Tensor) => Tensor): Tensor {
  const pixels = x.permute(TO_NHWC);
  const y = run(pixels);
  const images = y.permute(TO_NCHW);
  pixels.dispose(); // both share their memory with what goes on
  y.dispose();
  return images;
}
