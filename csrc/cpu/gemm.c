/*
 * Blocking. K is cut into runs of at most KC, so that a panel of B (a run × NR) stays in the L1 cache while all tiles
 * that need it are computed; the rows of A are cut into blocks that stay in L2 while all panels of B pass by. B is
 * packed, one panel at a time when all rows of A fit in one block, else as many panels as fit in L2 beside A.
 * A is used where it lies unless its layout would fight the cache.
 *
 * Threads. C is cut into a grid of rectangles, one a thread, each an independent product: no barrier, nothing shared.
 */
#include "gemm.h"

#include "pack.h"
#include "parallel.h"

enum {
  KC = 384,              /* a panel of B is at most KC · NR floats: 24 KB with AVX2, 48 KB with AVX-512 */
  KC_TRANSPOSED = 256,   /* less where a tile of A takes up a cache line for each step of K */
  FEW_ROWS = 130,        /* with so few rows of A, packing B would not pay */
  L2_FLOATS = 64 * 1024, /* for each of A and B: together at most 512 KB */
  LINE = 16,
};

static ptrdiff_t round_up(ptrdiff_t n, ptrdiff_t unit) { return th_ceil_div(n, unit) * unit; }

/** The blocking of one product. */
typedef struct {
  ptrdiff_t kc, mc, nc; /* summed, rows and columns of a block */
  int pack_a, pack_b;
  ptrdiff_t a_stride; /* row stride of packed A */
} blocking;

static blocking plan(const th_gemm *g) {
  blocking p;
  const ptrdiff_t rows = tile_rows(g->n), runs = th_max(1, th_ceil_div(g->k, g->a_transposed ? KC_TRANSPOSED : KC));
  p.kc = th_max(1, th_ceil_div(g->k, runs));
  const ptrdiff_t blocks = th_max(1, th_ceil_div(g->m, round_up(L2_FLOATS / p.kc, rows)));
  p.mc = th_max(rows, round_up(th_ceil_div(g->m, blocks), rows));
  p.nc = g->m <= p.mc ? NR : th_max(NR, th_min(round_up(g->n, NR), L2_FLOATS / p.kc / NR * NR));

  p.pack_b = g->b_transposed || g->n % VL != 0 || g->m > FEW_ROWS || rows_collide(g->ldb, 4);
  /* Packed A costs a copy; steps through a transposed A use only part of each cache line. */
  p.pack_a = g->a_transposed ? g->n > 2 * NR && g->m > 2 * rows && g->lda > 4 * LINE : rows_collide(g->lda, rows);
  p.a_stride = apart(g->a_transposed ? p.mc : p.kc);
  return p;
}

static ptrdiff_t packed_a_floats(const th_gemm *g, const blocking *p) {
  return p->pack_a ? (g->a_transposed ? p->kc : p->mc) * p->a_stride : 0;
}

/** A product with B transposed and few rows is computed as Cᵀ = B · Aᵀ: B, the larger, is then read where it lies. */
static int is_flipped(const th_gemm *g) { return g->b_transposed && g->m * (g->k + g->n) < g->n * g->k; }

static th_gemm flipped(const th_gemm *g, float *c) {
  return (th_gemm){.m = g->n,
                   .n = g->m,
                   .k = g->k,
                   .a = g->b,
                   .lda = g->ldb,
                   .b = g->a,
                   .ldb = g->lda,
                   .b_transposed = !g->a_transposed,
                   .c = c,
                   .ldc = g->m};
}

ptrdiff_t gemm_scratch(const th_gemm *g) {
  if (is_flipped(g)) {
    const th_gemm f = flipped(g, NULL);
    return round_up(g->m * g->n, LINE) + gemm_scratch(&f);
  }
  const blocking p = plan(g);
  return packed_a_floats(g, &p) + (p.pack_b ? p.kc * p.nc : 0);
}

/** Where a block of A starts, packed or not, and (in the walk) how to step through it. */
static const float *block_of_a(const th_gemm *g, const blocking *p, ptrdiff_t m0, ptrdiff_t mc, ptrdiff_t k0,
                               ptrdiff_t kc, float *packed, int is_packed) {
  const float *a = g->a_transposed ? g->a + k0 * g->lda + m0 : g->a + m0 * g->lda + k0;
  if (!p->pack_a) return a;
  if (!is_packed) {
    const ptrdiff_t lines = g->a_transposed ? kc : mc, length = g->a_transposed ? mc : kc;
    for (ptrdiff_t i = 0; i < lines; i++) copy_floats(packed + i * p->a_stride, a + i * g->lda, length);
  }
  return packed;
}

static void multiply(const th_gemm *g, float *scratch) {
  const blocking p = plan(g);
  float *const packed_a = scratch, *const packed_b = scratch + packed_a_floats(g, &p);
  const ptrdiff_t rows = tile_rows(g->n), lda = p.pack_a ? p.a_stride : g->lda;
  th_walk walk = {.outer = {1, 0, 0}, .middle = {1, 0, 0}, .ldc = g->ldc};
  walk.form = g->a_transposed ? TH_COLUMNS : TH_ROWS;
  walk.a_row = g->a_transposed ? 1 : lda;
  walk.inner.a = g->a_transposed ? lda : 1;

  for (ptrdiff_t k0 = 0; k0 == 0 || k0 < g->k; k0 += p.kc) {
    const ptrdiff_t kc = walk.inner.count = th_min(p.kc, g->k - k0);
    for (ptrdiff_t n0 = 0; n0 < g->n; n0 += p.nc) {
      const ptrdiff_t nc = th_min(p.nc, g->n - n0);
      for (ptrdiff_t j = 0; p.pack_b && j < nc; j += NR) {
        const ptrdiff_t cols = th_min(NR, nc - j);
        if (g->b_transposed) pack_panel_transposed(packed_b + j * kc, g->b + (n0 + j) * g->ldb + k0, g->ldb, kc, cols);
        else pack_panel(packed_b + j * kc, g->b + k0 * g->ldb + n0 + j, g->ldb, kc, cols);
      }
      for (ptrdiff_t m0 = 0; m0 < g->m; m0 += p.mc) {
        const ptrdiff_t mc = th_min(p.mc, g->m - m0), tiles = th_ceil_div(mc, rows);
        const float *const a = block_of_a(g, &p, m0, mc, k0, kc, packed_a, g->m <= p.mc && n0 > 0);
        for (ptrdiff_t j = 0; j < nc; j += NR) {
          const ptrdiff_t cols = th_min(NR, nc - j);
          const float *const b = p.pack_b ? packed_b + j * kc : g->b + k0 * g->ldb + n0 + j;
          const float *const bias = g->bias && k0 == 0 ? g->bias + n0 + j : NULL;
          walk.inner.b = p.pack_b ? panel_width(cols) : g->ldb;
          for (ptrdiff_t t = 0; t < tiles; t++) {
            const ptrdiff_t i = share(mc, t, tiles), end = share(mc, t + 1, tiles);
            multiply_tile(&walk, a + i * walk.a_row, b, g->c + (m0 + i) * g->ldc + n0 + j, end - i, cols, bias, k0 > 0);
          }
        }
      }
    }
  }
}

void gemm_serial(const th_gemm *g, float *scratch) {
  if (!is_flipped(g)) {
    multiply(g, scratch);
    return;
  }
  const th_gemm f = flipped(g, scratch);
  multiply(&f, scratch + round_up(g->m * g->n, LINE));
  transpose(g->c, g->ldc, scratch, g->m, g->n, g->m);
  for (ptrdiff_t i = 0; g->bias && i < g->m; i++)
    for (ptrdiff_t j = 0; j < g->n; j++) g->c[i * g->ldc + j] += g->bias[j];
}

/** A product cut into a grid of rectangles. */
typedef struct {
  const th_gemm *whole;
  ptrdiff_t row_parts, col_parts;
  float *scratch;
  ptrdiff_t scratch_part;
} grid;

static th_gemm part(const grid *s, ptrdiff_t i) {
  th_gemm g = *s->whole;
  const ptrdiff_t rows = tile_rows(g.n), row_tiles = th_ceil_div(g.m, rows), col_tiles = th_ceil_div(g.n, NR);
  const ptrdiff_t r = i % s->row_parts, q = i / s->row_parts;
  const ptrdiff_t m0 = share(g.m, share(row_tiles, r, s->row_parts), row_tiles);
  const ptrdiff_t m1 = share(g.m, share(row_tiles, r + 1, s->row_parts), row_tiles);
  const ptrdiff_t n0 = NR * share(col_tiles, q, s->col_parts);
  const ptrdiff_t n1 = th_min(g.n, NR * share(col_tiles, q + 1, s->col_parts));
  g.m = m1 - m0, g.n = n1 - n0;
  g.a += g.a_transposed ? m0 : m0 * g.lda;
  g.b += g.b_transposed ? n0 * g.ldb : n0;
  g.c += m0 * g.ldc + n0;
  if (g.bias) g.bias += n0;
  return g;
}

static void multiply_part(int thread, int threads, void *context) {
  const grid *s = context;
  for (ptrdiff_t i = thread; i < s->row_parts * s->col_parts; i += threads) {
    const th_gemm g = part(s, i);
    gemm_serial(&g, s->scratch + i * s->scratch_part);
  }
}

int32_t gemm(const th_gemm *g, int threads) {
  if (g->m == 0 || g->n == 0) return TH_STATUS_OK;
  if (threads == 1) {
    float *scratch = th_work_space(0, gemm_scratch(g), "matmul");
    if (!scratch) return TH_STATUS_OUT_OF_MEMORY;
    gemm_serial(g, scratch);
    return TH_STATUS_OK;
  }
  grid s = {.whole = g, .col_parts = choose_column_parts(g->m, g->n, threads, 4)};
  s.row_parts = threads / s.col_parts;
  const ptrdiff_t parts = s.row_parts * s.col_parts;
  for (ptrdiff_t i = 0; i < parts; i++) {
    const th_gemm p = part(&s, i);
    s.scratch_part = th_max(s.scratch_part, gemm_scratch(&p));
  }
  s.scratch_part = round_up(s.scratch_part, LINE);
  s.scratch = th_work_space(0, parts * s.scratch_part, "matmul");
  if (!s.scratch) return TH_STATUS_OUT_OF_MEMORY;
  th_parallel(threads, multiply_part, &s);
  return TH_STATUS_OK;
}
