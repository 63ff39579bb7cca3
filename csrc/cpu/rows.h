/*
 * Sums and maxima of one contiguous row, the inner loops of reductions, softmax and normalisation.
 *
 * A float addition takes four cycles, so a single accumulator would use a fraction of the machine: these keep an array
 * of them, which the compiler puts in vector registers. Sums are made in blocks of TH_ROW_BLOCK elements, which are added
 * up as doubles, so that the error of a long sum does not grow with its length.
 *
 * Last, the check of labels that both cross-entropies make.
 */
#ifndef TH_ROWS_H
#define TH_ROWS_H

#include "simd.h"
#include "../common/vmath.h"

enum { TH_ROW_LANES = 32, TH_ROW_BLOCK = 4096 };

/** Sum of a vector's elements, by halves. */
TH_INLINE float vec_sum(vec v) {
#if TH_VL == 16
  typedef float half_vec __attribute__((vector_size(32)));
  const half_vec h = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                     __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
#else
#define h v
#endif
#if TH_VL >= 8
  typedef float quarter_vec __attribute__((vector_size(16)));
  const quarter_vec q = __builtin_shufflevector(h, h, 0, 1, 2, 3) + __builtin_shufflevector(h, h, 4, 5, 6, 7);
#else
#define q v
#endif
  return (q[0] + q[2]) + (q[1] + q[3]);
#undef h
#undef q
}

/** Sum of n <= TH_ROW_BLOCK floats. */
TH_INLINE float th_block_sum(const float *x, ptrdiff_t n) {
  vec sums[4] = {{0}};
  ptrdiff_t i = 0;
  for (; i + 4 * VL <= n; i += 4 * VL) TH_UNROLL for (int k = 0; k < 4; k++) sums[k] += vec_load(x + i + k * VL);
  for (; i + VL <= n; i += VL) sums[0] += vec_load(x + i);
  if (i < n) sums[1] += vec_load_part(x + i, n - i);
  return vec_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

/** Sum of n floats. */
static inline double th_row_sum(const float *x, ptrdiff_t n) {
  double sum = 0;
  for (; n > TH_ROW_BLOCK; x += TH_ROW_BLOCK, n -= TH_ROW_BLOCK) sum += (double)th_block_sum(x, TH_ROW_BLOCK);
  return sum + (double)th_block_sum(x, n);
}

/** Whether one of n floats is NaN. */
static inline int th_row_has_nan(const float *x, ptrdiff_t n) {
  int32_t found = 0;
#pragma omp simd reduction(| : found)
  for (ptrdiff_t i = 0; i < n; i++) found |= x[i] != x[i];
  return found;
}

/** Maximum of sign · x of n floats, or NaN if there is one; -infinity for none. Σ 0 · x, one instruction, is NaN where one is
    NaN or infinite: only then is it worth asking which. */
TH_INLINE float th_row_extreme(const float *x, ptrdiff_t n, float sign) {
  float max[TH_ROW_LANES], zero[TH_ROW_LANES] = {0}, result = -INFINITY, zeros = 0;
  for (int k = 0; k < TH_ROW_LANES; k++) max[k] = -INFINITY;
  ptrdiff_t i = 0;
  for (; i + TH_ROW_LANES <= n; i += TH_ROW_LANES)
    for (int k = 0; k < TH_ROW_LANES; k++) {
      const float v = sign * x[i + k];
      max[k] = v > max[k] ? v : max[k];
      zero[k] += v * 0;
    }
#pragma omp simd reduction(max : result) reduction(+ : zeros)
  for (ptrdiff_t j = i; j < n; j++) {
    const float v = sign * x[j];
    result = v > result ? v : result;
    zeros += v * 0;
  }
#pragma omp simd reduction(max : result) reduction(+ : zeros)
  for (int k = 0; k < TH_ROW_LANES; k++) {
    result = max[k] > result ? max[k] : result;
    zeros += zero[k];
  }
  return zeros != zeros && th_row_has_nan(x, n) ? NAN : result;
}

/** Maximum of n floats, or NaN if there is one; -infinity for none. */
static inline float th_row_max(const float *x, ptrdiff_t n) { return th_row_extreme(x, n, 1); }

/** Minimum of n floats, or NaN if there is one; infinity for none. */
static inline float th_row_min(const float *x, ptrdiff_t n) { return -th_row_extreme(x, n, -1); }

/** Σ e^(x - shift) over n floats. */
static inline double th_row_exp_sum(const float *x, ptrdiff_t n, float shift) {
  double total = 0;
  for (ptrdiff_t start = 0; start < n; start += TH_ROW_BLOCK) {
    const ptrdiff_t end = start + TH_ROW_BLOCK < n ? start + TH_ROW_BLOCK : n;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (ptrdiff_t i = start; i < end; i++) sum += th_expf(x[i] - shift);
    total += (double)sum;
  }
  return total;
}

/** out = e^(x - shift); returns the sum. out may be x. */
static inline double th_row_exp(float *out, const float *x, ptrdiff_t n, float shift) {
  double total = 0;
  for (ptrdiff_t start = 0; start < n; start += TH_ROW_BLOCK) {
    const ptrdiff_t end = start + TH_ROW_BLOCK < n ? start + TH_ROW_BLOCK : n;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (ptrdiff_t i = start; i < end; i++) {
      const float e = th_expf(x[i] - shift);
      out[i] = e;
      sum += e;
    }
    total += (double)sum;
  }
  return total;
}

/** TH_STATUS_INDEX, with the row in the message, for a label of the cross-entropy that is no class. */
static inline int32_t th_check_labels(const int32_t *labels, int32_t rows, int32_t classes) {
  for (int32_t r = 0; r < rows; r++)
    if (labels[r] < 0 || labels[r] >= classes)
      return th_fail(TH_STATUS_INDEX, "label %d of row %d is outside the %d classes", labels[r], r, classes);
  return TH_STATUS_OK;
}

#endif
