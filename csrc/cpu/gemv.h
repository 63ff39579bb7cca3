/* A matrix times a vector, and a few rows times a matrix: the matrix is read row by row, and nothing of it is packed. */
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

/** Rows of C whose sums fit in the registers beside what they are made of, four vectors of each. */
enum { WIDE_ROWS = 3 };

/** c (rows, n; row stride ldc) += a (rows, steps) · b (steps, n). Few rows of B at a time, a line or two of each: they often
    share a set of the L1 cache. */
TH_INLINE void add_products(const int rows, const int steps, float *c, ptrdiff_t ldc, const float *a, ptrdiff_t a_row,
                            ptrdiff_t a_step, const float *b, ptrdiff_t ldb, ptrdiff_t n) {
  enum { VECTORS = 4 };
  ptrdiff_t j = 0;
  for (; j + VECTORS * VL <= n; j += VECTORS * VL) {
    vec sum[WIDE_ROWS][VECTORS], x[WIDE_ROWS];
    TH_UNROLL for (int i = 0; i < rows; i++) TH_UNROLL for (int v = 0; v < VECTORS; v++) sum[i][v] =
        vec_load(c + i * ldc + j + v * VL);
    TH_UNROLL for (int k = 0; k < steps; k++) {
      TH_UNROLL for (int i = 0; i < rows; i++) x[i] = vec_broadcast(a[i * a_row + k * a_step]);
      TH_UNROLL for (int v = 0; v < VECTORS; v++) {
        const vec y = vec_load(b + k * ldb + j + v * VL);
        TH_UNROLL for (int i = 0; i < rows; i++) sum[i][v] += x[i] * y;
      }
    }
    TH_UNROLL for (int i = 0; i < rows; i++) TH_UNROLL for (int v = 0; v < VECTORS; v++)
        vec_store(c + i * ldc + j + v * VL, sum[i][v]);
  }
  for (; j < n; j += VL) {
    const ptrdiff_t count = th_min(VL, n - j);
    TH_UNROLL for (int i = 0; i < rows; i++) {
      vec sum = vec_load_part(c + i * ldc + j, count);
      TH_UNROLL for (int k = 0; k < steps; k++) sum +=
          a[i * a_row + k * a_step] * vec_load_part(b + k * ldb + j, count);
      vec_store_part(c + i * ldc + j, sum, count);
    }
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

TH_INLINE void wide_tile(const int rows, const th_walk *walk, const float *a, const float *b, float *c, ptrdiff_t cols,
                         const float *bias, int accumulate) {
  enum { STEPS = 4, BLOCK = 2048 }; /* columns of C, which stays in the L1 cache while all rows of B pass by */
  const ptrdiff_t a_row = walk->a_row, a_step = walk->inner.a, ldb = walk->inner.b, ldc = walk->ldc;
  for (ptrdiff_t j = 0; j < cols; j += BLOCK) {
    const ptrdiff_t n = th_min(BLOCK, cols - j);
    float *const sums = c + j;
    for (int i = 0; i < rows && !accumulate; i++) {
      if (bias) copy_floats(sums + i * ldc, bias + j, n);
      else zero_floats(sums + i * ldc, n);
    }
    for (ptrdiff_t o = 0; o < walk->outer.count; o++)
      for (ptrdiff_t m = 0; m < walk->middle.count; m++) {
        const float *x = a + o * walk->outer.a + m * walk->middle.a;
        const float *y = b + o * walk->outer.b + m * walk->middle.b + j;
        ptrdiff_t k = walk->inner.count;
        for (; k >= STEPS; k -= STEPS, x += STEPS * a_step, y += STEPS * ldb)
          add_products(rows, STEPS, sums, ldc, x, a_row, a_step, y, ldb, n);
        for (; k > 0; k--, x += a_step, y += ldb) add_products(rows, 1, sums, ldc, x, a_row, a_step, y, ldb, n);
      }
    const th_epilogue e = epilogue_at(&walk->epilogue, j, 1);
    for (int i = 0; i < rows && e.does; i++) finish_row(sums + i * ldc, &e, n);
  }
}

/** A tile (microkernel.h) of at most WIDE_ROWS rows and any number of columns, for a B that is not packed: its rows are read
    whole and in order, as the processor expects, where tiles would read a line or two of each. */
static inline void multiply_wide(const th_walk *walk, const float *a, const float *b, float *c, ptrdiff_t rows,
                                 ptrdiff_t cols, const float *bias, int accumulate) {
  if (rows == 1) wide_tile(1, walk, a, b, c, cols, bias, accumulate);
  else if (rows == 2) wide_tile(2, walk, a, b, c, cols, bias, accumulate);
  else wide_tile(3, walk, a, b, c, cols, bias, accumulate);
}

#endif
