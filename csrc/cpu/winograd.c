/* When Winograd's minimal filtering pays, and the transform of its samples. */
#include "winograd.h"

enum { FEW_TILES = 8 }; /* take as long as so many */

int winograd_pays(const th_correlation *r, ptrdiff_t f, ptrdiff_t parts) {
  const ptrdiff_t taps = th_ceil_div(r->kh, r->stride);
  if (taps < 2 || taps > TAPS || th_ceil_div(r->kw, r->stride) != taps || r->c % VL) return 0;
  const th_winograd w = winograd_of(r);
  const ptrdiff_t tiles = winograd_tiles(r), at_least = th_max(tiles, FEW_TILES * parts);
  const ptrdiff_t stride_2 = r->stride * r->stride; /* a small convolution would feel what follows */
  if (at_least * w.products * stride_2 >= r->n * r->oh * r->ow * r->kh * r->kw) return 0;
  const double pairs = (double)(r->n * visible_pairs(r->oh, r->stride, r->kh, r->h, r->top) *
                                visible_pairs(r->ow, r->stride, r->kw, r->w, r->left));
  /* In multiplications of two vectors: to transform a vector of a tile's samples, of its sums, and of the weights. */
  const double samples = 220, sums = 150, weights = 200, size = (double)w.products / (POINTS * POINTS);
  const double m = (double)tiles, k = (double)w.channels, n = (double)f / VL;
  const double products = (double)at_least * (double)w.products * k * n;
  const double transforms = m * (samples * k / VL + sums * n) + (double)parts * weights * k * n;
  return products + size * transforms < 0.9 * pairs * (double)r->c * n;
}

/** The samples of pixels (y, x), (y, x + stride), … of an image: one pixel of each sample. */
TH_INLINE void transform_pixels(const int first, const th_correlation *r, const float *image, ptrdiff_t y, ptrdiff_t x,
                                float *out, ptrdiff_t step) {
  static const float zeros[VL] = {0};
  const float *row[POINTS]; /* one outside the image is zeros, wherever it is read */
  ptrdiff_t inside[POINTS];
  for (int i = first; i < POINTS; i++, y += r->stride) {
    inside[i] = -(y >= 0 && y < r->h);
    row[i] = inside[i] ? image + y * r->x_row : zeros;
  }
  for (ptrdiff_t c = 0; c < r->c; c += VL) {
    vec rows[POINTS][POINTS];
    _Pragma("GCC unroll 2") for (ptrdiff_t j = first; j < POINTS; j++) {
      const ptrdiff_t pixel = x + (j - first) * r->stride;
      vec d[POINTS], u[POINTS] = {0};
      if (pixel >= 0 && pixel < r->w) {
        const ptrdiff_t offset = pixel * r->x_pixel + c;
        TH_UNROLL for (int i = first; i < POINTS; i++) d[i] = vec_load(row[i] + (offset & inside[i]));
        transform_samples(first, u, d);
      }
      TH_UNROLL for (int i = first; i < POINTS; i++) rows[i][j] = u[i];
    }
    float *at = out + c;
    TH_UNROLL for (int i = first; i < POINTS; i++) {
      vec u[POINTS];
      transform_samples(first, u, rows[i]);
      TH_UNROLL for (int j = first; j < POINTS; j++, at += step) vec_store(at, u[j]);
    }
  }
}

TH_INLINE void transform_tile(const int first, const th_correlation *r, th_winograd_tile t, float *out,
                              ptrdiff_t step) {
  const ptrdiff_t s = r->stride, y = t.y * s - r->top, x = t.x * s - r->left;
  const float *const image = r->x + t.image * r->x_image;
  for (ptrdiff_t i = 0; i < s * s; i++) transform_pixels(first, r, image, y + i / s, x + i % s, out + i * r->c, step);
}

void winograd_samples(const th_correlation *r, th_winograd_tile tile, float *out, ptrdiff_t step) {
  if (winograd_of(r).first) transform_tile(1, r, tile, out, step);
  else transform_tile(0, r, tile, out, step);
}
