/*
 * Sums and maxima of one contiguous row, the inner loops of reductions, softmax and normalisation.
 *
 * A float addition takes four cycles, so a single accumulator would use a fraction of the machine: these keep four
 * vectors of them. Sums are made in blocks of TH_ROW_BLOCK elements, which are added up as doubles, so that the error of
 * a long sum does not grow with its length.
 */
#ifndef TH_ROWS_H
#define TH_ROWS_H

#include "simd.h"
#include "vmath.h"

enum { TH_ROW_BLOCK = 4096 };

/** Sum of the elements of a vector, by halves. */
TH_INLINE float vec_sum(vec v) {
  float t[VL];
  vec_store(t, v);
  for (int half = VL / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) t[i] += t[i + half];
  return t[0];
}

/** Σ f(i) over 0 … n - 1, where VALUE(i) gives a vec of f(i) … f(i + VL - 1) and PART(i, k) one of k < VL, then zeros. */
#define TH_SUM_BLOCK(n, VALUE, PART)                                         \
  ({                                                                         \
    vec sum_[4] = {{0}};                                                     \
    ptrdiff_t i_ = 0;                                                        \
    for (; i_ + 4 * VL <= (n); i_ += 4 * VL)                                 \
      TH_UNROLL for (int k_ = 0; k_ < 4; k_++) sum_[k_] += VALUE(i_ + k_ * VL); \
    for (; i_ + VL <= (n); i_ += VL) sum_[0] += VALUE(i_);                   \
    if (i_ < (n)) sum_[1] += PART(i_, (n)-i_);                               \
    vec_sum((sum_[0] + sum_[1]) + (sum_[2] + sum_[3]));                      \
  })

/** Sum of n floats. */
static inline double th_row_sum(const float *x, ptrdiff_t n) {
#define VALUE(i) vec_load(x + (i))
#define PART(i, k) vec_load_part(x + (i), k)
  double total = 0;
  for (; n > TH_ROW_BLOCK; x += TH_ROW_BLOCK, n -= TH_ROW_BLOCK) total += (double)TH_SUM_BLOCK(TH_ROW_BLOCK, VALUE, PART);
  return total + (double)TH_SUM_BLOCK(n, VALUE, PART);
#undef VALUE
#undef PART
}
#endif
