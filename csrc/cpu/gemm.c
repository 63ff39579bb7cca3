/*
 * Blocking. K is cut into runs of at most KC, so that a panel of B (a run × NR) stays in the L1 cache, or with AVX-512 in
 * L2, while all tiles that need it are computed; the rows of A are cut into blocks that stay in L2 while all panels of B
 * pass by. B is packed, one panel at a time when all rows of A fit in one block, else as many panels as fit in L3. While
 * tiles of one panel are computed, the next one is fetched: a panel's rows lie too far apart for the processor to foresee.
 * A is used where it lies unless its layout would fight the cache: then rows are copied apart, and with AVX2 a transposed
 * A is packed tile by tile.
 *
 * Threads. C is cut into a grid of rectangles, one a thread, each an independent product: no barrier, nothing shared.
 */
#include "gemm.h"

#include "few.h"
#include "pack.h"
#include "parallel.h"

enum {
  SHORT_SUM = 64,                 /* with so few summed, writing C is most of the work, … */
  LARGE_C = 2048 * 1024,          /* … if it is this large, from where it must go to memory */
  FEW_ROWS = VL < 16 ? 130 : 420, /* with so few rows of A, packing B would not pay, … */
  FEWER_ROWS = 24,  /* … nor, with so few, when vectors of B cross cache lines; nor fetching what stays in L3 */
  ENOUGH_ROWS = 32, /* of B, which a thread reads whole, for each row of sums that are added up in the end */
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
static int is_flipped(const th_gemm *g) {
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

th_blocking gemm_plan(const th_gemm *g) {
  if (!is_flipped(g)) return plan(g, method_of(g));
  const th_gemm f = flipped(g, NULL);
  th_blocking p = plan(&f, method_of(&f));
  p.scratch += round_up(g->m * g->n, LINE);
  return p;
}

void gemm_serial(const th_gemm *g, const th_blocking *p, float *scratch) {
  if (!is_flipped(g)) {
    multiply(g, p, scratch);
    return;
  }
  const th_gemm f = flipped(g, scratch);
  multiply(&f, p, scratch + round_up(g->m * g->n, LINE));
  transpose(g->c, g->ldc, scratch, g->m, g->n, g->m);
  for (ptrdiff_t i = 0; g->bias && i < g->m; i++)
    for (ptrdiff_t j = 0; j < g->n; j++) g->c[i * g->ldc + j] += g->bias[j];
}

/** A product cut into a grid of rectangles, or along K: then each part but the first sums into an array of its own. */
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
  if ((by_k < 0.8 * by_grid || rows_in_order) && !is_flipped(g) && !g->epilogue.does)
    s.row_parts = s.col_parts = 1, s.k_parts = threads;
  return s;
}

static th_gemm part(const grid *s, ptrdiff_t i) {
  th_gemm g = *s->whole;
  if (s->k_parts > 1) {
    const ptrdiff_t k = share(g.k, i, s->k_parts);
    g.k = share(g.k, i + 1, s->k_parts) - k;
    g.a += g.a_transposed ? k * g.lda : k;
    g.b += g.b_transposed ? k : k * g.ldb;
    if (i > 0) g.c = s->sums + (i - 1) * g.m * g.n, g.ldc = g.n, g.bias = NULL;
    return g;
  }
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
  g.epilogue = epilogue_at(&g.epilogue, n0, 1);
  return g;
}

static void multiply_part(int thread, int threads, void *context) {
  const grid *s = context;
  for (ptrdiff_t i = thread; i < s->row_parts * s->col_parts * s->k_parts; i += threads) {
    const th_gemm g = part(s, i);
    const th_blocking p = gemm_plan(&g);
    gemm_serial(&g, &p, s->scratch + i * s->scratch_part);
  }
}

int32_t gemm_share(const th_gemm *whole, th_member m) {
  if (whole->m == 0 || whole->n == 0) return TH_STATUS_OK;
  if (m.threads == 1 && gemm_in_place(whole, 0)) return TH_STATUS_OK;
  const grid s = cut_c(whole, m.threads);
  const th_method method = method_of(whole);
  for (ptrdiff_t i = m.thread; i < s.row_parts * s.col_parts; i += m.threads) {
    const th_gemm g = part(&s, i);
    if (g.m == 0 || g.n == 0) continue;
    const th_blocking p = plan(&g, method);
    float *scratch = th_work_space(0, p.scratch, "matmul");
    if (!scratch) return TH_STATUS_OUT_OF_MEMORY;
    multiply(&g, &p, scratch);
  }
  return TH_STATUS_OK;
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

int32_t gemm(const th_gemm *g, int threads) {
  if (g->m == 0 || g->n == 0) return TH_STATUS_OK;
  if (threads == 1 && gemm_in_place(g, 0)) return TH_STATUS_OK;
  if (threads == 1) {
    const th_blocking p = gemm_plan(g);
    float *scratch = th_work_space(0, p.scratch, "matmul");
    if (!scratch) return TH_STATUS_OUT_OF_MEMORY;
    gemm_serial(g, &p, scratch);
    return TH_STATUS_OK;
  }
  grid s = cut(g, threads);
  const ptrdiff_t parts = s.row_parts * s.col_parts * s.k_parts, size = g->m * g->n;
  for (ptrdiff_t i = 0; i < parts; i++) {
    const th_gemm p = part(&s, i);
    s.scratch_part = th_max(s.scratch_part, gemm_plan(&p).scratch);
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
