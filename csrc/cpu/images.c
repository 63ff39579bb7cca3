/*
 * Images for a batch: bytes in planes become floats with interleaved channels, flipped and shifted on the way, in one
 * pass over the data.
 */
#include "strided.h"

#include <string.h>

static const double GRAIN = 16384; /* pixels worth a thread */

typedef struct {
  ptrdiff_t channels, height, width;
} image_shape;

/** Row y of the output: columns of the source row that fall outside the image are zero. */
static void gather_row(float *out, const uint8_t *image, image_shape s, int flip, ptrdiff_t dx, ptrdiff_t row) {
  const ptrdiff_t first = dx < 0 ? (-dx < s.width ? -dx : s.width) : 0;                 /* columns with a source: */
  const ptrdiff_t last = dx > 0 ? (dx < s.width ? s.width - dx : 0) : s.width;          /* first … last - 1 */
  if (first > 0 || last < s.width) memset(out, 0, (size_t)(s.width * s.channels) * sizeof *out);
  for (ptrdiff_t c = 0; c < s.channels; c++) {
    const uint8_t *source = image + (c * s.height + row) * s.width;
    float *to = out + c;
    if (flip)
      for (ptrdiff_t x = first; x < last; x++) to[x * s.channels] = (float)source[s.width - 1 - x - dx] / 255.0f;
    else
      for (ptrdiff_t x = first; x < last; x++) to[x * s.channels] = (float)source[x + dx] / 255.0f;
  }
}

static void gather_image(float *out, const uint8_t *images, image_shape s, const int32_t *plan) {
  const uint8_t *image = images + plan[0] * s.channels * s.height * s.width;
  for (ptrdiff_t y = 0; y < s.height; y++, out += s.width * s.channels) {
    const ptrdiff_t row = y + plan[2];
    if (row < 0 || row >= s.height)
      memset(out, 0, (size_t)(s.width * s.channels) * sizeof *out);
    else
      gather_row(out, image, s, plan[1], plan[3], row);
  }
}

int32_t th_gather_images(float *out, const uint8_t *host_images, const int32_t *host_plan, int32_t count, int32_t channels,
                         int32_t height, int32_t width) {
  const image_shape s = {channels, height, width};
  const ptrdiff_t size = s.channels * s.height * s.width;
  const int parts = th_threads_for((double)count * (double)size, GRAIN);
#pragma omp parallel for num_threads(parts) schedule(static) if (parts > 1)
  for (ptrdiff_t i = 0; i < count; i++) gather_image(out + i * size, host_images, s, host_plan + 4 * i);
  return TH_STATUS_OK;
}
