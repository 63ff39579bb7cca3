/*
 * A product on several threads. C is cut into a grid of rectangles, one a thread, each an independent product: no barrier,
 * nothing shared. Where C is small and the sums are long, they are cut instead, and each part but the first sums into an
 * array of its own.
 */
#include "few.h"
#include "gemm.h"
#include "parallel.h"

enum { ENOUGH_ROWS = 32 }; /* of B, which a thread reads whole, for each row of sums that are added up in the end */

/** How a product is cut: either all parts are rectangles of C, or all are runs of K. */
typedef struct {
  const th_gemm *whole;
  ptrdiff_t row_parts, col_parts, k_parts;
  float *scratch, *sums;
  ptrdiff_t scratch_part;
} grid;

/** Cuts C into rectangles. */
static grid cut_c(const th_gemm *g, int threads) {
  grid s = {.whole = g, .col_parts = choose_column_parts(g->m, g->n, threads, 4), .k_parts = 1};
  s.row_parts = threads / s.col_parts;
  return s;
}

/** Cuts the product for so many threads in the way that makes one of them read the least. */
static grid cut(const th_gemm *g, int threads) {
  grid s = cut_c(g, threads);
  const double m = (double)g->m, n = (double)g->n, k = (double)g->k, parts = threads;
  const double by_grid = k * (m / (double)s.row_parts + n / (double)s.col_parts);
  const double by_k = k * (m + n) / parts + 4 * m * n * (parts - 1); /* and the sums are added up on one thread */
  const int rows_in_order = is_thin(g) && g->k >= ENOUGH_ROWS * g->m * threads * (threads - 1);
  if ((by_k < 0.8 * by_grid || rows_in_order) && !gemm_is_flipped(g) && !g->epilogue.does)
    s.row_parts = s.col_parts = 1, s.k_parts = threads;
  return s;
}

static th_gemm part(const grid *s, ptrdiff_t i) {
  th_gemm g = *s->whole;
  if (s->k_parts > 1) {
    const ptrdiff_t k = th_split(g.k, i, s->k_parts);
    g.k = th_split(g.k, i + 1, s->k_parts) - k;
    g.a += g.a_transposed ? k * g.lda : k;
    g.b += g.b_transposed ? k : k * g.ldb;
    if (i > 0) g.c = s->sums + (i - 1) * g.m * g.n, g.ldc = g.n, g.bias = NULL;
    return g;
  }
  const ptrdiff_t rows = tile_rows(g.n), row_tiles = th_ceil_div(g.m, rows), col_tiles = th_ceil_div(g.n, NR);
  const ptrdiff_t r = i % s->row_parts, q = i / s->row_parts;
  const ptrdiff_t m0 = th_split(g.m, th_split(row_tiles, r, s->row_parts), row_tiles);
  const ptrdiff_t m1 = th_split(g.m, th_split(row_tiles, r + 1, s->row_parts), row_tiles);
  const ptrdiff_t n0 = NR * th_split(col_tiles, q, s->col_parts);
  const ptrdiff_t n1 = th_min(g.n, NR * th_split(col_tiles, q + 1, s->col_parts));
  g.m = m1 - m0, g.n = n1 - n0;
  g.a += g.a_transposed ? m0 : m0 * g.lda;
  g.b += g.b_transposed ? n0 * g.ldb : n0;
  g.c += m0 * g.ldc + n0;
  if (g.bias) g.bias += n0;
  g.epilogue = epilogue_at(&g.epilogue, n0, 1);
  return g;
}

static void multiply_part(int thread, int threads, void *context) {
  const grid *s = context;
  for (ptrdiff_t i = thread; i < s->row_parts * s->col_parts * s->k_parts; i += threads) {
    const th_gemm g = part(s, i);
    if (g.m == 0 || g.n == 0) continue; /* fewer tiles than parts */
    const th_blocking p = gemm_plan(&g, &g);
    gemm_serial(&g, &p, s->scratch + i * s->scratch_part);
  }
}

int32_t gemm_share(const th_gemm *whole, th_member m) {
  if (whole->m == 0 || whole->n == 0) return TH_STATUS_OK;
  if (m.threads == 1 && gemm_in_place(whole, 0)) return TH_STATUS_OK;
  const grid s = cut_c(whole, m.threads);
  for (ptrdiff_t i = m.thread; i < s.row_parts * s.col_parts; i += m.threads) {
    const th_gemm g = part(&s, i);
    if (g.m == 0 || g.n == 0) continue;
    const th_blocking p = gemm_plan(&g, whole);
    float *scratch = th_work_space(0, p.scratch, "matmul");
    if (!scratch) return TH_STATUS_OUT_OF_MEMORY;
    gemm_serial(&g, &p, scratch);
  }
  return TH_STATUS_OK;
}

int32_t gemm(const th_gemm *g, int threads) {
  if (g->m == 0 || g->n == 0) return TH_STATUS_OK;
  if (threads == 1 && gemm_in_place(g, 0)) return TH_STATUS_OK;
  if (threads == 1) {
    const th_blocking p = gemm_plan(g, g);
    float *scratch = th_work_space(0, p.scratch, "matmul");
    if (!scratch) return TH_STATUS_OUT_OF_MEMORY;
    gemm_serial(g, &p, scratch);
    return TH_STATUS_OK;
  }
  grid s = cut(g, threads);
  const ptrdiff_t parts = s.row_parts * s.col_parts * s.k_parts, size = g->m * g->n;
  for (ptrdiff_t i = 0; i < parts; i++) {
    const th_gemm p = part(&s, i);
    s.scratch_part = th_max(s.scratch_part, gemm_plan(&p, &p).scratch);
  }
  s.scratch_part = th_own_floats(s.scratch_part);
  s.scratch = th_work_space(0, parts * s.scratch_part + (s.k_parts - 1) * size, "matmul");
  if (!s.scratch) return TH_STATUS_OUT_OF_MEMORY;
  s.sums = s.scratch + parts * s.scratch_part;
  th_parallel(threads, multiply_part, &s);
  for (ptrdiff_t i = 1; i < s.k_parts; i++)
    for (ptrdiff_t r = 0; r < g->m; r++) add_floats(g->c + r * g->ldc, s.sums + (i - 1) * size + r * g->n, g->n);
  return TH_STATUS_OK;
}
