/*
 * Sums and maxima of one contiguous row, the inner loops of reductions, softmax and normalisation.
 *
 * Float addition takes four cycles, so a single accumulator would use a fraction of the machine: these keep LANES
 * independent ones. Sums are made in blocks of BLOCK elements, added up as doubles: the error of a long sum does not
 * grow with its length.
 */
#ifndef TH_ROWS_H
#define TH_ROWS_H

#include "kernel.h"
#include "vmath.h"

typedef float th_lanes __attribute__((vector_size(64)));                    /* 16 floats, whatever the machine's width */
typedef float th_lanes_at __attribute__((vector_size(64), aligned(4), may_alias)); /* the same, in memory */
enum { TH_ROW_LANES = 16, TH_ROW_BLOCK = 4096 };

TH_INLINE float th_sum_lanes(th_lanes v) {
  float sum = 0;
  for (int i = 0; i < TH_ROW_LANES; i++) sum += v[i];
  return sum;
}

/** Sum of n floats. */
TH_INLINE double th_row_sum(const float *x, ptrdiff_t n) {
  double total = 0;
  while (n >= 4 * TH_ROW_LANES) {
    ptrdiff_t length = n < TH_ROW_BLOCK ? n : TH_ROW_BLOCK;
    length -= length % (4 * TH_ROW_LANES);
    th_lanes a = {0}, b = {0}, c = {0}, d = {0};
    for (const float *end = x + length; x < end; x += 4 * TH_ROW_LANES) {
      const th_lanes_at *v = (const th_lanes_at *)x;
      a += v[0];
      b += v[1];
      c += v[2];
      d += v[3];
    }
    total += (double)th_sum_lanes((a + b) + (c + d));
    n -= length;
  }
  float rest = 0;
  for (ptrdiff_t i = 0; i < n; i++) rest += x[i];
  return total + (double)rest;
}

/** Maximum of n floats, n >= 1, or NaN if there is one. */
TH_INLINE float th_row_max(const float *x, ptrdiff_t n) {
  float max = x[0];
  int nan = 0;
#pragma omp simd reduction(max : max) reduction(| : nan)
  for (ptrdiff_t i = 0; i < n; i++) {
    max = x[i] > max ? x[i] : max;
    nan |= x[i] != x[i];
  }
  return nan ? NAN : max;
}

#endif
