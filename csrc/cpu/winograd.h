/*
 * Winograd's minimal filtering, F(4, 3): of a line d of 6 samples and 3 taps g, the 4 sums y[i] = d[i] g[0] + d[i+1] g[1] +
 * d[i+2] g[2] take 6 products instead of 12,
 *
 *   y = Aᵀ ((G g) ∘ (Bᵀ d)).
 *
 * In two dimensions, where each transform is applied to the columns and then to the rows, 36 products instead of 144 make
 * 4 × 4 outputs. (Lavin and Gray, Fast algorithms for convolutional neural networks, CVPR 2016.)
 *
 * The transforms evaluate polynomials at points. The usual 0, ±1, ±2, ∞ lose a digit; at 0, ±3/4, ±3/2, ∞, whose products are as
 * exact in binary, the error is two to three times that of summing all 144 products.
 */
#ifndef TH_WINOGRAD_H
#define TH_WINOGRAD_H

#include "simd.h"

enum {
  TAPS = 3,
  OUTPUTS = 4,
  POINTS = OUTPUTS + TAPS - 1, /* of a line, and the samples it reads */
  PRODUCTS = POINTS * POINTS,  /* of a tile */
};

#define P 0.75f
#define Q 1.5f
#define P2 (P * P)
#define Q2 (Q * Q)

/** u = Bᵀ d: samples. */
TH_INLINE void transform_samples(vec u[POINTS], const vec d[POINTS]) {
  const vec p_even = d[4] - Q2 * d[2], p_odd = d[3] - Q2 * d[1];
  const vec q_even = d[4] - P2 * d[2], q_odd = d[3] - P2 * d[1];
  u[0] = d[4] - (P2 + Q2) * d[2] + P2 * Q2 * d[0];
  u[1] = p_even + P * p_odd;
  u[2] = p_even - P * p_odd;
  u[3] = q_even + Q * q_odd;
  u[4] = q_even - Q * q_odd;
  u[5] = d[5] - (P2 + Q2) * d[3] + P2 * Q2 * d[1];
}

/** u = G g: taps. */
TH_INLINE void transform_taps(vec u[POINTS], const vec g[TAPS]) {
  const float p = 1 / (2 * P2 * (P2 - Q2)), q = 1 / (2 * Q2 * (Q2 - P2));
  const vec p_even = p * g[0] + p * P2 * g[2], p_odd = p * P * g[1];
  const vec q_even = q * g[0] + q * Q2 * g[2], q_odd = q * Q * g[1];
  u[0] = 1 / (P2 * Q2) * g[0];
  u[1] = p_even + p_odd;
  u[2] = p_even - p_odd;
  u[3] = q_even + q_odd;
  u[4] = q_even - q_odd;
  u[5] = g[2];
}

/** y = Aᵀ m: sums of products. */
TH_INLINE void transform_sums(vec y[OUTPUTS], const vec m[POINTS]) {
  const vec p_even = m[1] + m[2], p_odd = m[1] - m[2], q_even = m[3] + m[4], q_odd = m[3] - m[4];
  y[0] = m[0] + p_even + q_even;
  y[1] = P * p_odd + Q * q_odd;
  y[2] = P2 * p_even + Q2 * q_even;
  y[3] = m[5] + P * P2 * p_odd + Q * Q2 * q_odd;
}

#undef P
#undef Q
#undef P2
#undef Q2

#endif
