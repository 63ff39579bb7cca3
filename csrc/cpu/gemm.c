/*
 * The matrix product of one thread, in tiles of the micro-kernel; gemm_threads.c shares a product out.
 *
 * Blocking. K is cut into runs of at most KC, so that a panel of B (a run × NR) stays in the L1 cache, or with AVX-512 in
 * L2, while all tiles that need it are computed; the rows of A are cut into blocks that stay in L2 while all panels of B
 * pass by. B is packed, one panel at a time when all rows of A fit in one block, else as many panels as fit in L3. While
 * tiles of one panel are computed, the next one is fetched: a panel's rows lie too far apart for the processor to foresee.
 * A is used where it lies unless its layout would fight the cache: then rows are copied apart, and with AVX2 a transposed
 * A is packed tile by tile.
 */
#include "gemm.h"

#include "few.h"
#include "pack.h"

enum {
  SHORT_SUM = 64,                 /* with so few summed, writing C is most of the work, … */
  LARGE_C = 2048 * 1024,          /* … if it is this large, from where it must go to memory */
  FEW_ROWS = VL < 16 ? 130 : 420, /* with so few rows of A, packing B would not pay, … */
  FEWER_ROWS = 24, /* … nor, with so few, when vectors of B cross cache lines; nor fetching what stays in L3 */
  L2_FLOATS = (VL < 16 ? 64 : 96) * 1024, /* for a block of A: 256 or 384 KB */
  L3_FLOATS = 512 * 1024,                 /* for a block of B: 2 MB */
  FETCHED_LINES = 16,                     /* of the next panel at a time */
  SMALL_A = 2048,                         /* with so little of A, planning would be felt */
  KC_TRANSPOSED = VL < 16 ? 256 : KC, /* a packed tile of A must stay in L1 beside the panel of B, with AVX2's 32 KB */
};

static ptrdiff_t round_up(ptrdiff_t n, ptrdiff_t unit) { return th_ceil_div(n, unit) * unit; }

static ptrdiff_t packed_a_floats(const th_blocking *p) { return (p->whole_a ? p->runs : 1) * p->a_floats; }

static int packs_panel(const th_blocking *p, ptrdiff_t cols) { return !p->b_in_place || cols % VL != 0; }

/** Whether tiles read panels of B where they lie. */
static int is_b_in_place(const th_gemm *g) {
  const int crosses_lines = VL < 16 && g->ldb % VL != 0 && g->k * g->n > L2_FLOATS / 2;
  return !g->b_transposed && g->m <= (crosses_lines ? FEWER_ROWS : FEW_ROWS) && reads_in_place(g->ldb);
}

static th_method method_of(const th_gemm *g) {
  return is_dots(g) ? TH_DOTS : is_narrow(g) ? TH_NARROW : is_thin(g) ? TH_THIN : TH_TILES;
}

static th_blocking plan(const th_gemm *g, th_method method) {
  th_blocking p = {.method = method};
  const ptrdiff_t rows = tile_rows(g->n);
  const ptrdiff_t longest = g->a_transposed ? KC_TRANSPOSED : KC;
  p.runs = g->k <= longest ? 1 : th_ceil_div(g->k, longest);
  p.kc = g->k <= longest ? th_max(1, g->k) : th_ceil_div(g->k, p.runs);
  if (g->k <= SHORT_SUM && g->k * g->n <= L2_FLOATS && g->m * g->n >= LARGE_C) {
    p.mc = (VL < 16 ? 2 : 1) * rows; /* 12 or 14 rows of C are written at a time, from left to right */
    p.nc = round_up(th_max(1, g->n), NR);
  } else if (g->m * p.kc <= L2_FLOATS) {
    p.mc = round_up(th_max(1, g->m), rows);
    p.nc = NR;
  } else {
    const ptrdiff_t blocks = th_ceil_div(g->m, round_up(L2_FLOATS / p.kc, rows));
    p.mc = round_up(th_ceil_div(g->m, blocks), rows);
    p.nc = blocks == 1 ? NR : th_max(NR, th_min(round_up(g->n, NR), L3_FLOATS / p.kc / NR * NR));
  }

  p.b_in_place = is_b_in_place(g);
  /* Packed A costs a copy; steps through a transposed A use only part of each cache line, but with AVX-512 14 of 16 floats. */
  p.pack_a =
      g->a_transposed ? VL < 16 && g->n > 2 * NR && g->m > 2 * rows && g->lda > 4 * LINE : rows_collide(g->lda, rows);
  p.fetches = g->k * g->n > (p.b_in_place && g->m <= FEWER_ROWS ? 16 : 3) * L2_FLOATS;
  p.a_stride = apart(p.kc);
  p.a_floats = p.pack_a ? round_up(p.mc * (g->a_transposed ? p.kc : p.a_stride) + VL, LINE) : 0;
  p.whole_a = g->m <= p.mc && p.mc * p.runs * p.kc <= 3 * L2_FLOATS;
  p.scratch = packed_a_floats(&p) + (packs_panel(&p, g->n % NR) ? p.kc * p.nc : 0);
  if (method == TH_NARROW) p.scratch = th_max(p.scratch, round_up(g->k * g->n, LINE));
  return p;
}

/** Two products are computed as Cᵀ = Bᵀ · Aᵀ. With B transposed and few rows, B, the larger, is then read where it lies; with A
    transposed and few columns, less of the vectors is empty, which pays for transposing the result. */
int gemm_is_flipped(const th_gemm *g) {
  if (g->b_transposed) return is_mostly_b(g) && !is_dots(g);
  return g->a_transposed && 5 * g->n * round_up(g->m, VL) < 4 * g->m * round_up(g->n, VL);
}

static th_gemm flipped(const th_gemm *g, float *c) {
  return (th_gemm){.m = g->n,
                   .n = g->m,
                   .k = g->k,
                   .a = g->b,
                   .lda = g->ldb,
                   .b = g->a,
                   .ldb = g->lda,
                   .a_transposed = !g->b_transposed,
                   .b_transposed = !g->a_transposed,
                   .c = c,
                   .ldc = g->m};
}

/** Rows shared out evenly to tiles one below the other: the first `high` have low + 1 of them, the others low. */
typedef struct {
  ptrdiff_t low, high;
} heights;

static heights share_rows(ptrdiff_t rows, ptrdiff_t tiles) { return (heights){rows / tiles, rows % tiles}; }

static ptrdiff_t first_row(heights h, ptrdiff_t tile) { return tile * h.low + th_min(tile, h.high); }

/** Packs a block of A, mc rows in `tiles` and kc summed. */
static void pack_a(const th_gemm *g, const th_blocking *p, const float *a, ptrdiff_t mc, ptrdiff_t tiles, ptrdiff_t kc,
                   float *packed) {
  if (!g->a_transposed) {
    for (ptrdiff_t i = 0; i < mc; i++) { /* a row is too short, and the next too far away, to be foreseen */
      fetch(a, g->lda, th_min(i + 2, mc), th_min(i + 3, mc), kc);
      copy_floats(packed + i * p->a_stride, a + i * g->lda, kc);
    }
    return;
  }
  const heights h = share_rows(mc, tiles);
  for (ptrdiff_t t = 0; t < tiles; t++) {
    const ptrdiff_t i = first_row(h, t), rows = first_row(h, t + 1) - i;
    for (ptrdiff_t k = 0; k < kc; k++) /* in whole vectors: what is too much of one, the next overwrites */
      for (ptrdiff_t j = 0; j < rows; j += VL)
        vec_store(packed + i * kc + k * rows + j, vec_load_part(a + k * g->lda + i + j, th_min(VL, rows - j)));
  }
}

static const float *source_of_b(const th_gemm *g, ptrdiff_t k0, ptrdiff_t n0) {
  return g->b_transposed ? g->b + n0 * g->ldb + k0 : g->b + k0 * g->ldb + n0;
}

/** Adds the products of runs of K from k0 on to the columns of C from n0 on. */
static void multiply_block(const th_gemm *g, const th_blocking *p, ptrdiff_t k0, ptrdiff_t n0, float *scratch) {
  const ptrdiff_t kc = th_min(p->kc, g->k - k0), nc = th_min(p->nc, g->n - n0), rows = tile_rows(g->n);
  const int keeps_a = g->m <= p->mc; /* packed for the first columns, A is there for all */
  float *const packed_a = scratch + (p->whole_a ? k0 / p->kc * p->a_floats : 0);
  float *const packed_b = scratch + packed_a_floats(p);
  const ptrdiff_t a_row = g->a_transposed ? 1 : p->pack_a ? p->a_stride : g->lda;
  th_walk walk = {.outer = {1, 0, 0}, .middle = {1, 0, 0}, .inner = {kc, g->a_transposed ? g->lda : 1, 0}};
  walk.a_row = a_row, walk.ldc = g->ldc, walk.form = g->a_transposed ? TH_COLUMNS : TH_ROWS;

  for (ptrdiff_t m0 = 0; m0 < g->m; m0 += p->mc) {
    const ptrdiff_t mc = th_min(p->mc, g->m - m0), tiles = th_ceil_div(mc, rows);
    const heights h = share_rows(mc, tiles);
    const ptrdiff_t fetched =
        p->fetches ? th_max(1, FETCHED_LINES * tiles / kc) : tiles; /* tiles between two fetches */
    const float *const a = g->a_transposed ? g->a + k0 * g->lda + m0 : g->a + m0 * g->lda + k0;
    if (p->pack_a && !(keeps_a && n0 > 0)) pack_a(g, p, a, mc, tiles, kc, packed_a);
    for (ptrdiff_t j = 0; j < nc; j += NR) {
      const ptrdiff_t cols = th_min(NR, nc - j);
      const int packed = packs_panel(p, cols), is_packed = packed && m0 > 0; /* for the rows above */
      float *const panel = packed_b + j * kc;
      const float *const source = source_of_b(g, k0, n0 + j);
      if (packed && !is_packed) pack(panel, source, g->ldb, g->b_transposed, kc, cols);
      const float *const b = packed ? panel : source;
      const th_ahead next =
          is_packed ? panel_ahead(panel + NR * kc, NR, 0, kc, nc - j - NR)
                    : panel_ahead(source_of_b(g, k0, n0 + j + NR), g->ldb, g->b_transposed, kc, g->n - n0 - j - NR);
      const float *const bias = g->bias && k0 == 0 ? g->bias + n0 + j : NULL;
      walk.inner.b = packed ? panel_width(cols) : g->ldb;
      walk.epilogue = epilogue_at(&g->epilogue, n0 + j, k0 + kc == g->k);
      for (ptrdiff_t t = 0, end; t < tiles; t = end) {
        const ptrdiff_t i = first_row(h, t), height = first_row(h, t + 1) - i;
        end = th_min(t < h.high ? h.high : tiles, t + fetched); /* of the same height */
        if (p->fetches) fetch_ahead(&next, t, end, tiles);
        const float *tile = a + i * a_row;
        ptrdiff_t a_tile = height * a_row;
        if (p->pack_a && g->a_transposed) tile = packed_a + i * kc, walk.inner.a = height, a_tile = height * kc;
        else if (p->pack_a) tile = packed_a + i * a_row;
        float *const c = g->c + (m0 + i) * g->ldc + n0 + j;
        multiply_tiles(&walk, tile, a_tile, b, c, height, cols, bias, k0 > 0, end - t);
      }
    }
  }
}

static void multiply(const th_gemm *g, const th_blocking *p, float *scratch) {
  if (p->method == TH_DOTS) {
    multiply_dots(g);
  } else if (p->method == TH_NARROW) {
    multiply_narrow(g, scratch);
  } else if (p->method == TH_THIN) {
    multiply_thin(g);
  } else if (p->whole_a || g->m > p->mc) { /* columns of C stay in L3 for all runs */
    for (ptrdiff_t n0 = 0; n0 < g->n; n0 += p->nc)
      for (ptrdiff_t k0 = 0; k0 == 0 || k0 < g->k; k0 += p->kc) multiply_block(g, p, k0, n0, scratch);
  } else {
    for (ptrdiff_t k0 = 0; k0 == 0 || k0 < g->k; k0 += p->kc)
      for (ptrdiff_t n0 = 0; n0 < g->n; n0 += p->nc) multiply_block(g, p, k0, n0, scratch);
  }
}

th_blocking gemm_plan(const th_gemm *g, const th_gemm *whole) {
  if (!gemm_is_flipped(g)) return plan(g, method_of(whole));
  const th_gemm f = flipped(g, NULL);
  th_blocking p = plan(&f, method_of(&f));
  p.scratch += round_up(g->m * g->n, LINE);
  return p;
}

void gemm_serial(const th_gemm *g, const th_blocking *p, float *scratch) {
  if (!gemm_is_flipped(g)) {
    multiply(g, p, scratch);
    return;
  }
  const th_gemm f = flipped(g, scratch);
  multiply(&f, p, scratch + round_up(g->m * g->n, LINE));
  transpose(g->c, g->ldc, scratch, g->m, g->n, g->m);
  for (ptrdiff_t i = 0; g->bias && i < g->m; i++)
    for (ptrdiff_t j = 0; j < g->n; j++) g->c[i * g->ldc + j] += g->bias[j];
}

int gemm_in_place(const th_gemm *g, int b_goes_on) {
  const int whole_rows = g->n == NR || g->n == VL || (g->n < VL && b_goes_on);
  if (!whole_rows || g->m * g->k > SMALL_A || g->k > KC || g->b_transposed || g->epilogue.does) return 0;
  th_walk walk = {.outer = {1, 0, 0}, .middle = {1, 0, 0}, .inner = {g->k, 1, g->ldb}};
  walk.a_row = g->lda, walk.ldc = g->ldc, walk.form = TH_ROWS;
  if (g->a_transposed) walk.a_row = 1, walk.inner.a = g->lda, walk.form = TH_COLUMNS;
  multiply_rows(&walk, g->a, g->b, g->c, g->m, g->n, g->bias, 0);
  return 1;
}
