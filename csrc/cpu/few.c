/* The products of few.h: narrow ones, of few columns; dots, of a transposed B; thin and wide ones, of few rows. */
#include "few.h"

#include "pack.h"
#include "rows.h"

/** C of `cols` columns, each the products of A's rows with one of the rows of x (cols, k; row stride ldx). */
TH_INLINE void dot_products(const int cols, const th_gemm *g, const float *x, ptrdiff_t ldx) {
  const ptrdiff_t m = g->m, k = g->k, lda = g->lda, ldc = g->ldc;
  const float *const a = g->a, *const bias = g->bias;
  float *const c = g->c;
  enum { ROWS = 4 };                     /* at a time share what is read of x */
  const int vectors = cols == 1 ? 2 : 1; /* of each sum, so that enough of them do not wait for one another */
  for (ptrdiff_t first = 0; first < m; first += ROWS) {
    const ptrdiff_t last = m - first - 1;
    const float *row[ROWS];
    vec sum[ROWS][FEW][2] = {{{{0}}}}, at[FEW];
    TH_UNROLL for (ptrdiff_t r = 0; r < ROWS; r++) row[r] = a + (first + th_min(r, last)) * lda;
    ptrdiff_t i = 0;
    for (; i + vectors * VL <= k; i += vectors * VL) {
      TH_UNROLL for (ptrdiff_t v = 0; v < vectors; v++) {
        TH_UNROLL for (int q = 0; q < cols; q++) at[q] = vec_load(x + q * ldx + i + v * VL);
        TH_UNROLL for (ptrdiff_t r = 0; r < ROWS; r++) {
          const vec y = vec_load(row[r] + i + v * VL);
          TH_UNROLL for (int q = 0; q < cols; q++) sum[r][q][v] += at[q] * y;
        }
      }
    }
    for (; i < k; i += VL) {
      const ptrdiff_t n = th_min(VL, k - i);
      TH_UNROLL for (int q = 0; q < cols; q++) at[q] = vec_load_part(x + q * ldx + i, n);
      TH_UNROLL for (ptrdiff_t r = 0; r < ROWS; r++) {
        const vec y = vec_load_part(row[r] + i, n);
        TH_UNROLL for (int q = 0; q < cols; q++) sum[r][q][0] += at[q] * y;
      }
    }
    TH_UNROLL for (ptrdiff_t r = 0; r < ROWS; r++) {
      if (r > last) break;
      TH_UNROLL for (int q = 0; q < cols; q++) {
        c[(first + r) * ldc + q] = (bias ? bias[q] : 0) + vec_sum(sum[r][q][0] + sum[r][q][1]);
      }
    }
  }
}

/** sum += the n ≤ VL products at x and y: rows of A and, as it is transposed, of B. */
TH_INLINE void add_dots(const int rows, vec sum[DOT_ROWS][DOT_COLUMNS], const float *const x[], const float *const y[],
                        ptrdiff_t at, const ptrdiff_t n) {
  vec u[DOT_ROWS];
  TH_UNROLL for (int r = 0; r < rows; r++) u[r] = n == VL ? vec_load(x[r] + at) : vec_load_part(x[r] + at, n);
  TH_UNROLL for (int q = 0; q < DOT_COLUMNS; q++) {
    const vec v = n == VL ? vec_load(y[q] + at) : vec_load_part(y[q] + at, n);
    TH_UNROLL for (int r = 0; r < rows; r++) sum[r][q] += u[r] * v;
  }
}

/** A tile of C, from row i and column j on. */
TH_INLINE void dot_tile(const int rows, const th_gemm *g, ptrdiff_t i, ptrdiff_t j, ptrdiff_t columns) {
  const float *x[DOT_ROWS], *y[DOT_COLUMNS];
  vec sum[DOT_ROWS][DOT_COLUMNS] = {{{0}}};
  TH_UNROLL for (int r = 0; r < rows; r++) x[r] = g->a + (i + r) * g->lda;
  TH_UNROLL for (int q = 0; q < DOT_COLUMNS; q++) y[q] = g->b + (j + th_min(q, columns - 1)) * g->ldb;
  ptrdiff_t at = 0;
  for (; at + VL <= g->k; at += VL) add_dots(rows, sum, x, y, at, VL);
  if (at < g->k) add_dots(rows, sum, x, y, at, g->k - at);
  TH_UNROLL for (int r = 0; r < rows; r++) {
    TH_UNROLL for (int q = 0; q < DOT_COLUMNS; q++) {
      if (q < columns) g->c[(i + r) * g->ldc + j + q] = (g->bias ? g->bias[j + q] : 0) + vec_sum(sum[r][q]);
    }
  }
}

void multiply_dots(const th_gemm *g) {
  const ptrdiff_t across = th_ceil_div(g->n, DOT_COLUMNS), down = th_ceil_div(g->m, DOT_ROWS);
  for (ptrdiff_t q = 0; q < across; q++) { /* a few rows of B stay in the L1 cache while all of A pass by */
    const ptrdiff_t j = th_split(g->n, q, across), columns = th_split(g->n, q + 1, across) - j;
    for (ptrdiff_t r = 0; r < down; r++) {
      const ptrdiff_t i = th_split(g->m, r, down);
      if (th_split(g->m, r + 1, down) - i == DOT_ROWS) dot_tile(DOT_ROWS, g, i, j, columns);
      else dot_tile(DOT_ROWS - 1, g, i, j, columns); /* of 5 rows one twice */
    }
  }
}

/** c (rows, n; row stride ldc) += a (rows, steps) · b (steps, n). Few rows of B at a time, a line or two of each: they often
    share a set of the L1 cache. */
TH_INLINE void add_products(const int rows, const int steps, float *c, ptrdiff_t ldc, const float *a, ptrdiff_t a_row,
                            ptrdiff_t a_step, const float *b, ptrdiff_t ldb, ptrdiff_t n) {
  enum { VECTORS = 4 };
  ptrdiff_t j = 0;
  for (; j + VECTORS * VL <= n; j += VECTORS * VL) {
    vec sum[FEW][VECTORS], x[FEW];
    TH_UNROLL for (int i = 0; i < rows; i++) {
      TH_UNROLL for (int v = 0; v < VECTORS; v++) sum[i][v] = vec_load(c + i * ldc + j + v * VL);
    }
    TH_UNROLL for (int k = 0; k < steps; k++) {
      TH_UNROLL for (int i = 0; i < rows; i++) x[i] = vec_broadcast(a[i * a_row + k * a_step]);
      TH_UNROLL for (int v = 0; v < VECTORS; v++) {
        const vec y = vec_load(b + k * ldb + j + v * VL);
        TH_UNROLL for (int i = 0; i < rows; i++) sum[i][v] += x[i] * y;
      }
    }
    TH_UNROLL for (int i = 0; i < rows; i++) {
      TH_UNROLL for (int v = 0; v < VECTORS; v++) vec_store(c + i * ldc + j + v * VL, sum[i][v]);
    }
  }
  for (; j < n; j += VL) {
    const ptrdiff_t count = th_min(VL, n - j);
    TH_UNROLL for (int i = 0; i < rows; i++) {
      vec sum = vec_load_part(c + i * ldc + j, count);
      TH_UNROLL for (int k = 0; k < steps; k++) {
        sum += a[i * a_row + k * a_step] * vec_load_part(b + k * ldb + j, count);
      }
      vec_store_part(c + i * ldc + j, sum, count);
    }
  }
}

/** The epilogue of n finished sums. */
TH_INLINE void finish_row(float *c, const th_epilogue *e, ptrdiff_t n) {
  for (ptrdiff_t j = 0; j < n; j += VL) {
    const ptrdiff_t count = th_min(VL, n - j);
    const th_epilogue at = epilogue_at(e, j, 1);
    vec sum[1][2] = {{vec_load_part(c + j, count)}};
    finish(1, 1, sum, &at, c + j, 0, count);
    vec_store_part(c + j, sum[0][0], count);
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

void multiply_wide(const th_walk *walk, const float *a, const float *b, float *c, ptrdiff_t rows, ptrdiff_t cols,
                   const float *bias, int accumulate) {
  if (rows == 1) wide_tile(1, walk, a, b, c, cols, bias, accumulate);
  else if (rows == 2) wide_tile(2, walk, a, b, c, cols, bias, accumulate);
  else if (rows == 3) wide_tile(3, walk, a, b, c, cols, bias, accumulate);
}

void multiply_narrow(const th_gemm *g, float *scratch) {
  const float *columns = g->b;
  ptrdiff_t distance = g->ldb;
  if (!columns_are_runs(g)) {
    transpose(scratch, g->k, g->b, g->ldb, g->k, g->n);
    columns = scratch, distance = g->k;
  }
  if (g->n == 1) dot_products(1, g, columns, distance);
  else if (g->n == 2) dot_products(2, g, columns, distance);
  else if (g->n == 3) dot_products(3, g, columns, distance);
}

void multiply_thin(const th_gemm *g) {
  const th_walk walk = {.outer = {1, 0, 0},
                        .middle = {1, 0, 0},
                        .inner = {g->k, g->a_transposed ? g->lda : 1, g->ldb},
                        .a_row = g->a_transposed ? 1 : g->lda,
                        .ldc = g->ldc,
                        .epilogue = g->epilogue};
  for (ptrdiff_t tiles = th_ceil_div(g->m, FEW), t = 0; t < tiles; t++) {
    const ptrdiff_t i = th_split(g->m, t, tiles), rows = th_split(g->m, t + 1, tiles) - i;
    multiply_wide(&walk, g->a + i * walk.a_row, g->b, g->c + i * g->ldc, rows, g->n, g->bias, 0);
  }
}
