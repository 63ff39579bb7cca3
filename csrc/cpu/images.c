/*
 * Images for a batch: bytes in planes become floats with interleaved channels, flipped and shifted on the way, in one
 * pass over the data.
 */
#include "parallel.h"
#include "strided.h"

#include <string.h>

static const double GRAIN = 16384; /* pixels worth a thread */

typedef struct {
  ptrdiff_t channels, height, width;
} image_shape;

TH_INLINE ptrdiff_t clamp(ptrdiff_t x, ptrdiff_t most) { return x < 0 ? 0 : x < most ? x : most; }

TH_INLINE void interleave_some(float *out, const uint8_t *first, ptrdiff_t n, ptrdiff_t step, ptrdiff_t plane,
                               ptrdiff_t channels) {
#pragma omp simd
  for (ptrdiff_t x = 0; x < n; x++)
    for (ptrdiff_t c = 0; c < channels; c++) out[x * channels + c] = (float)first[c * plane + x * step] / 255.0f;
}

/** `n` pixels from one plane for each channel; `step` is -1 where the image is mirrored. What is not whole blocks is computed
    in blocks all the same, the last one over part of the one before: a cropped row would otherwise spend most of its time
    on its last few pixels. */
TH_INLINE void interleave(float *out, const uint8_t *first, ptrdiff_t n, ptrdiff_t step, ptrdiff_t plane,
                          ptrdiff_t channels) {
  enum { BLOCK = 16 };
  if (n < BLOCK || n % BLOCK == 0) {
    interleave_some(out, first, n, step, plane, channels);
    return;
  }
  for (ptrdiff_t x = 0; x < n; x += BLOCK) {
    const ptrdiff_t from = x + BLOCK <= n ? x : n - BLOCK;
    interleave_some(out + from * channels, first + from * step, BLOCK, step, plane, channels);
  }
}

/** One row of the output from source row `row`, whose column x + dx, mirrored if `flip`, becomes column x. */
static void gather_row(float *out, const uint8_t *image, image_shape s, int flip, ptrdiff_t dx, ptrdiff_t row) {
  const ptrdiff_t first = clamp(-dx, s.width), last = clamp(s.width - dx, s.width); /* columns with a source */
  memset(out, 0, (size_t)(first * s.channels) * sizeof *out);
  memset(out + last * s.channels, 0, (size_t)((s.width - last) * s.channels) * sizeof *out);
  if (first >= last) return;
  const ptrdiff_t column = first + dx, plane = s.height * s.width, n = last - first;
  const uint8_t *source = image + row * s.width + (flip ? s.width - 1 - column : column);
  float *to = out + first * s.channels;
  if (s.channels == 3 && flip) interleave(to, source, n, -1, plane, 3);
  else if (s.channels == 3) interleave(to, source, n, 1, plane, 3);
  else interleave(to, source, n, flip ? -1 : 1, plane, s.channels);
}

static void gather_image(float *out, const uint8_t *images, image_shape s, const int32_t *plan) {
  const uint8_t *image = images + plan[0] * s.channels * s.height * s.width;
  for (ptrdiff_t y = 0; y < s.height; y++, out += s.width * s.channels) {
    const ptrdiff_t row = y + plan[2];
    if (row >= 0 && row < s.height) gather_row(out, image, s, plan[1], plan[3], row);
    else memset(out, 0, (size_t)(s.width * s.channels) * sizeof *out);
  }
}

int32_t th_gather_images(float *out, const uint8_t *host_images, const int32_t *host_plan, int32_t count,
                         int32_t channels, int32_t height, int32_t width) {
  const image_shape s = {channels, height, width};
  const ptrdiff_t size = s.channels * s.height * s.width;
  const int parts = th_threads_for((double)count * (double)size, GRAIN);
  TH_PARALLEL_FOR(parts, i, count, { gather_image(out + i * size, host_images, s, host_plan + 4 * i); });
  return TH_STATUS_OK;
}
