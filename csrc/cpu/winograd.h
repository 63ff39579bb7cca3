/*
 * Winograd's minimal filtering, F(4, 3): of a line d of 6 samples and 3 taps g, the 4 sums y[i] = d[i] g[0] + d[i+1] g[1] +
 * d[i+2] g[2] take 6 products instead of 12,
 *
 *   y = Aᵀ ((G g) ∘ (Bᵀ d)).
 *
 * In two dimensions, where each transform is applied to the columns and then to the rows, 36 products instead of 144 make
 * 4 × 4 outputs. (Lavin and Gray, Fast algorithms for convolutional neural networks, CVPR 2016.)
 *
 * The transforms evaluate polynomials at points. At the usual 0, ±1, ±2, ∞ the error is ten times that of the direct sum, for 256
 * channels; at 0, ±3/4, ±3/2, ∞, whose powers are as exact in binary, three to four times: 1e-6 of the result.
 *
 * Two taps, F(4, 2), are three whose first is zero: so is its value at point 0, and sample 0 meets nothing else. Both are left
 * out, 25 products remain. The other points are ±1/2, ±3/2, ∞, and the error twice that of the direct sum.
 *
 * Windows that move by s pixels are windows of taps that move by one tap, where a tap is s × s pixels and a sample so many pixels'
 * channels: 7 × 7 pixels with a stride of 4 are 2 × 2 taps, which at the end have a row and a column of zeros.
 */
#ifndef TH_WINOGRAD_H
#define TH_WINOGRAD_H

#include "correlate.h"

enum {
  TAPS = 3,
  OUTPUTS = 4,
  POINTS = OUTPUTS + TAPS - 1, /* of a line, and the samples it reads */
};

#define P (first ? 0.5f : 0.75f)
#define Q 1.5f
#define P2 (P * P)
#define Q2 (Q * Q)
/* What G has before a point's powers: one over the product of its distances from the other points. */
#define SCALE_0 (1 / (P2 * Q2))
#define SCALE_P (1 / (2 * P2 * (P2 - Q2)))
#define SCALE_Q (1 / (2 * Q2 * (Q2 - P2)))

/* Of taps, samples and points, those from `first` on are read and written: 0, or 1 where there are two taps. */

/** u = Bᵀ d: samples. */
TH_INLINE void transform_samples(const int first, vec u[POINTS], const vec d[POINTS]) {
  const vec p_even = d[4] - Q2 * d[2], p_odd = d[3] - Q2 * d[1];
  const vec q_even = d[4] - P2 * d[2], q_odd = d[3] - P2 * d[1];
  if (!first) u[0] = d[4] - (P2 + Q2) * d[2] + P2 * Q2 * d[0];
  u[1] = p_even + P * p_odd;
  u[2] = p_even - P * p_odd;
  u[3] = q_even + Q * q_odd;
  u[4] = q_even - Q * q_odd;
  u[5] = d[5] - (P2 + Q2) * d[3] + P2 * Q2 * d[1];
}

/** u = G g: taps. */
TH_INLINE void transform_taps(const int first, vec u[POINTS], const vec g[TAPS]) {
  const vec zero = {0}, g0 = first ? zero : g[0];
  const vec p_even = SCALE_P * g0 + SCALE_P * P2 * g[2], p_odd = SCALE_P * P * g[1];
  const vec q_even = SCALE_Q * g0 + SCALE_Q * Q2 * g[2], q_odd = SCALE_Q * Q * g[1];
  if (!first) u[0] = SCALE_0 * g[0];
  u[1] = p_even + p_odd;
  u[2] = p_even - p_odd;
  u[3] = q_even + q_odd;
  u[4] = q_even - q_odd;
  u[5] = g[2];
}

/** The same for 4 taps and 3 sums, F(3, 4), as in a weight gradient: its taps are the 4 × 4 gradients of a tile. The points are not
    scaled; the sums are. */
TH_INLINE void transform_gradients(const int first, vec u[POINTS], const vec g[OUTPUTS]) {
  const vec p_even = g[0] + P2 * g[2], p_odd = P * g[1] + P * P2 * g[3];
  const vec q_even = g[0] + Q2 * g[2], q_odd = Q * g[1] + Q * Q2 * g[3];
  if (!first) u[0] = g[0];
  u[1] = p_even + p_odd;
  u[2] = p_even - p_odd;
  u[3] = q_even + q_odd;
  u[4] = q_even - q_odd;
  u[5] = g[3];
}

TH_INLINE void transform_gradient_sums(const int first, vec y[TAPS], const vec m[POINTS]) {
  const vec p_even = m[1] + m[2], p_odd = m[1] - m[2], q_even = m[3] + m[4], q_odd = m[3] - m[4];
  if (!first) y[0] = SCALE_0 * m[0] + SCALE_P * p_even + SCALE_Q * q_even;
  y[1] = SCALE_P * P * p_odd + SCALE_Q * Q * q_odd;
  y[2] = m[5] + SCALE_P * P2 * p_even + SCALE_Q * Q2 * q_even;
}

/** y = Aᵀ m: sums of products. */
TH_INLINE void transform_sums(const int first, vec y[OUTPUTS], const vec m[POINTS]) {
  const vec p_even = m[1] + m[2], p_odd = m[1] - m[2], q_even = m[3] + m[4], q_odd = m[3] - m[4];
  y[0] = first ? p_even + q_even : m[0] + p_even + q_even;
  y[1] = P * p_odd + Q * q_odd;
  y[2] = P2 * p_even + Q2 * q_even;
  y[3] = m[5] + P * P2 * p_odd + Q * Q2 * q_odd;
}

#undef P
#undef Q
#undef P2
#undef Q2
#undef SCALE_0
#undef SCALE_P
#undef SCALE_Q

/** What the filtering sees of a correlation. */
typedef struct {
  int first;          /* of taps, samples and points */
  ptrdiff_t products; /* of a tile: 36 or 25 */
  ptrdiff_t channels; /* of a sample: of stride · stride pixels, in the order of their rows */
} th_winograd;

TH_INLINE th_winograd winograd_of(const th_correlation *r) {
  const int first = TAPS - (int)th_ceil_div(r->kh, r->stride), points = POINTS - first;
  return (th_winograd){first, points * points, r->stride * r->stride * r->c};
}

/** Pairs of an output and a pixel of its window that meet the image, along one axis. */
TH_INLINE ptrdiff_t visible_pairs(ptrdiff_t outputs, ptrdiff_t stride, ptrdiff_t window, ptrdiff_t size,
                                  ptrdiff_t before) {
  ptrdiff_t count = 0;
  for (ptrdiff_t i = -before; i < outputs * stride - before; i += stride)
    count += th_max(0, th_min(window, size - i) - th_max(0, -i));
  return count;
}

/** A tile: the output pixels from (y, x) of an image on. */
typedef struct {
  ptrdiff_t image, y, x;
} th_winograd_tile;

/** Tiles that cover the output. */
TH_INLINE ptrdiff_t winograd_tiles(const th_correlation *r) {
  return r->n * th_ceil_div(r->oh, OUTPUTS) * th_ceil_div(r->ow, OUTPUTS);
}

TH_INLINE th_winograd_tile winograd_tile(const th_correlation *r, ptrdiff_t index) {
  const ptrdiff_t wide = th_ceil_div(r->ow, OUTPUTS), high = th_ceil_div(r->oh, OUTPUTS);
  return (th_winograd_tile){index / wide / high, index / wide % high * OUTPUTS, index % wide * OUTPUTS};
}

/** Whether the correlation's products, with f output channels, take less time by tiles than each for itself. The weights, or
    their gradient, are transformed `parts` times. */
#define winograd_pays TH_ISA_NAME(winograd_pays)
int winograd_pays(const th_correlation *r, ptrdiff_t f, ptrdiff_t parts);

/** Transforms what a tile reads of a correlation's input. Of its products, that of channel c is at out[c], out[step + c], … */
#define winograd_samples TH_ISA_NAME(winograd_samples)
void winograd_samples(const th_correlation *r, th_winograd_tile tile, float *out, ptrdiff_t step);

#endif
