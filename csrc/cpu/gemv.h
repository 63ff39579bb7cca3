/* A matrix times a vector, and a vector times a matrix: the matrix is read once, row by row, and nothing of it is packed. */
#ifndef TH_GEMV_H
#define TH_GEMV_H

#include "microkernel.h"
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

/** The epilogue of n finished sums. */
TH_INLINE void finish_row(float *c, const th_epilogue *e, ptrdiff_t n) {
  for (ptrdiff_t j = 0; j < n; j += VL) {
    const ptrdiff_t count = th_min(VL, n - j);
    vec sum = vec_load_part(c + j, count);
    if (e->does & TH_SCALE) sum = sum * vec_load_part(e->scale + j, count) + vec_load_part(e->shift + j, count);
    if (e->does & TH_RELU) sum = drop_where(sum < 0, sum);
    if (e->does & TH_ADD) sum += vec_load_part(c + j + e->add, count);
    if (e->does & TH_RELU_AFTER) sum = drop_where(sum < 0, sum);
    vec_store_part(c + j, sum, count);
  }
}

/** A tile (microkernel.h) of one row and any number of columns, for a B that is not packed: whole rows of it are read in
    order, as the processor expects, where tiles would read a line or two of each. */
static inline void multiply_row(const th_walk *walk, const float *a, const float *b, float *c, ptrdiff_t cols,
                                const float *bias, int accumulate) {
  enum { ROWS = 4, BLOCK = 2048 }; /* floats of c, which stay in the L1 cache while all rows pass by */
  const ptrdiff_t step = walk->inner.a, ldb = walk->inner.b;
  for (ptrdiff_t j = 0; j < cols; j += BLOCK) {
    const ptrdiff_t n = th_min(BLOCK, cols - j);
    float *const sums = c + j;
    if (!accumulate && bias) copy_floats(sums, bias + j, n);
    else if (!accumulate) zero_floats(sums, n);
    for (ptrdiff_t o = 0; o < walk->outer.count; o++)
      for (ptrdiff_t m = 0; m < walk->middle.count; m++) {
        const float *x = a + o * walk->outer.a + m * walk->middle.a;
        const float *row = b + o * walk->outer.b + m * walk->middle.b + j;
        ptrdiff_t k = walk->inner.count;
        for (; k >= ROWS; k -= ROWS, x += ROWS * step, row += ROWS * ldb) add_rows(ROWS, sums, x, step, row, ldb, n);
        for (; k > 0; k--, x += step, row += ldb) add_rows(1, sums, x, step, row, ldb, n);
      }
    const th_epilogue e = epilogue_at(&walk->epilogue, j, 1);
    if (e.does) finish_row(sums, &e, n);
  }
}

#endif
