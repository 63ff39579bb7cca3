/* A matrix times a vector, and a vector times a matrix: the matrix is read once, row by row, and nothing of it is packed. */
#ifndef TH_GEMV_H
#define TH_GEMV_H

#include "rows.h"

/** c (m; stride ldc) = a (m, k; row stride lda) · x (k) + bias (one number; NULL for none). */
static inline void gemv(float *c, ptrdiff_t ldc, const float *a, ptrdiff_t lda, const float *x, ptrdiff_t m,
                        ptrdiff_t k, const float *bias) {
  enum {
    ROWS = 4,
    VECTORS = 2
  }; /* rows at a time share what is read of x; a sum of two vectors is not always waiting */
  const float start = bias ? *bias : 0;
  for (ptrdiff_t first = 0; first < m; first += ROWS) {
    const ptrdiff_t last = m - first - 1;
    const float *row[ROWS];
    vec sum[ROWS][VECTORS] = {{{0}}};
    TH_UNROLL for (ptrdiff_t r = 0; r < ROWS; r++) row[r] = a + (first + th_min(r, last)) * lda;
    ptrdiff_t i = 0;
    for (; i + VECTORS * VL <= k; i += VECTORS * VL) TH_UNROLL for (ptrdiff_t v = 0; v < VECTORS; v++) {
        const vec at = vec_load(x + i + v * VL);
        TH_UNROLL for (ptrdiff_t r = 0; r < ROWS; r++) sum[r][v] += at * vec_load(row[r] + i + v * VL);
      }
    for (; i < k; i += VL) {
      const ptrdiff_t n = th_min(VL, k - i);
      const vec at = vec_load_part(x + i, n);
      TH_UNROLL for (ptrdiff_t r = 0; r < ROWS; r++) sum[r][0] += at * vec_load_part(row[r] + i, n);
    }
    TH_UNROLL for (ptrdiff_t r = 0; r < ROWS; r++) {
      if (r <= last) c[(first + r) * ldc] = start + vec_sum(sum[r][0] + sum[r][1]);
    }
  }
}

/** c (n) += x (rows; stride step) · b (rows, n). Few rows at a time, a line or two of each: they often share a set of the L1
    cache. */
TH_INLINE void add_rows(const int rows, float *c, const float *x, ptrdiff_t step, const float *b, ptrdiff_t ldb,
                        ptrdiff_t n) {
  enum { VECTORS = 4 };
  ptrdiff_t j = 0;
  for (; j + VECTORS * VL <= n; j += VECTORS * VL) {
    vec sum[VECTORS];
    TH_UNROLL for (int v = 0; v < VECTORS; v++) sum[v] = vec_load(c + j + v * VL);
    TH_UNROLL for (int r = 0; r < rows; r++) {
      const vec factor = vec_broadcast(x[r * step]);
      TH_UNROLL for (int v = 0; v < VECTORS; v++) sum[v] += factor * vec_load(b + r * ldb + j + v * VL);
    }
    TH_UNROLL for (int v = 0; v < VECTORS; v++) vec_store(c + j + v * VL, sum[v]);
  }
  for (; j < n; j += VL) {
    const ptrdiff_t count = th_min(VL, n - j);
    vec sum = vec_load_part(c + j, count);
    TH_UNROLL for (int r = 0; r < rows; r++) sum += x[r * step] * vec_load_part(b + r * ldb + j, count);
    vec_store_part(c + j, sum, count);
  }
}

/** c (n) = x (k; stride step) · b (k, n; row stride ldb) + bias (n; NULL for none). */
static inline void gevm(float *c, const float *x, ptrdiff_t step, const float *b, ptrdiff_t ldb, ptrdiff_t n,
                        ptrdiff_t k, const float *bias) {
  enum { ROWS = 4, BLOCK = 2048 }; /* floats of c, which stay in the L1 cache while all rows pass by */
  for (ptrdiff_t j = 0; j < n; j += BLOCK) {
    const ptrdiff_t count = th_min(BLOCK, n - j);
    if (bias) copy_floats(c + j, bias + j, count);
    else zero_floats(c + j, count);
    ptrdiff_t i = 0;
    for (; i + ROWS <= k; i += ROWS) add_rows(ROWS, c + j, x + i * step, step, b + i * ldb + j, ldb, count);
    for (; i < k; i++) add_rows(1, c + j, x + i * step, step, b + i * ldb + j, ldb, count);
  }
}

#endif
