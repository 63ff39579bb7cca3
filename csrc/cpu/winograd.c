/* When Winograd's minimal filtering pays, and the transform of its samples. */
#include "winograd.h"

enum { FEW_TILES = 8 }; /* take as long as so many */

/** Pairs of an output and a tap that meet the image, along one axis. */
static ptrdiff_t visible_pairs(ptrdiff_t outputs, ptrdiff_t size, ptrdiff_t padding) {
  ptrdiff_t count = 0;
  for (ptrdiff_t i = 0; i < outputs; i++) count += th_max(0, th_min(TAPS, size - i + padding) - th_max(0, padding - i));
  return count;
}

int winograd_pays(const th_conv_shape *s, ptrdiff_t tiles, ptrdiff_t c, ptrdiff_t f, ptrdiff_t parts) {
  if (s->kh != TAPS || s->kw != TAPS || s->stride != 1 || c % VL) return 0;
  const double pairs = (double)(s->n * visible_pairs(s->oh, s->h, s->padding) * visible_pairs(s->ow, s->w, s->padding));
  /* In multiplications of two vectors: to transform a vector of a tile's samples, of its sums, and of the weights. */
  const double samples = 220, sums = 150, weights = 200;
  const double m = (double)tiles, k = (double)c, n = (double)f / VL;
  const double products = (double)th_max(tiles, FEW_TILES * parts) * PRODUCTS * k * n;
  const double transforms = m * (samples * k / VL + sums * n) + (double)parts * weights * k * n;
  return products + transforms < 0.9 * pairs * k * n;
}

void winograd_samples(const th_correlation *r, th_winograd_tile t, float *out, ptrdiff_t step) {
  static const float zeros[VL] = {0};
  const ptrdiff_t top = t.y - r->top, left = t.x - r->left;
  const float *row[POINTS]; /* one outside the image is zeros, wherever it is read */
  ptrdiff_t inside[POINTS];
  for (int i = 0; i < POINTS; i++) {
    inside[i] = -(top + i >= 0 && top + i < r->h);
    row[i] = inside[i] ? r->x + t.image * r->x_image + (top + i) * r->x_row : zeros;
  }
  for (ptrdiff_t c = 0; c < r->c; c += VL) {
    vec rows[POINTS][POINTS];
    _Pragma("GCC unroll 2") for (ptrdiff_t j = 0; j < POINTS; j++) {
      vec d[POINTS], u[POINTS] = {0};
      if (left + j >= 0 && left + j < r->w) {
        const ptrdiff_t offset = (left + j) * r->x_pixel + c;
        TH_UNROLL for (int i = 0; i < POINTS; i++) d[i] = vec_load(row[i] + (offset & inside[i]));
        transform_samples(u, d);
      }
      TH_UNROLL for (int i = 0; i < POINTS; i++) rows[i][j] = u[i];
    }
    float *at = out + c;
    TH_UNROLL for (int i = 0; i < POINTS; i++, at += POINTS * step) {
      vec u[POINTS];
      transform_samples(u, rows[i]);
      TH_UNROLL for (int j = 0; j < POINTS; j++) vec_store(at + j * step, u[j]);
    }
  }
}
