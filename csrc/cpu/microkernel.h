/*
 * The micro-kernel: one tile C (rows × cols) = A (rows × K) · B (K × cols), summed in registers. Every product of the
 * engine, matrix or convolution, is a sequence of these tiles.
 *
 * The summed index K is walked by three nested loops, each with its own step in A and in B. That is what makes a
 * convolution a matrix product without im2col: the loops are (ky, kx, channel) in the forward pass and in the data
 * gradient, (image, y, x) in the weight gradient, and A is the image itself.
 */
#ifndef TH_MICROKERNEL_H
#define TH_MICROKERNEL_H

#include "simd.h"

/** Rows of a packed panel of B: 24 KB with AVX2, which stay in the L1 cache. With AVX-512 84 KB come from L2 for every
    tile, which costs nothing there, and C is read and written less often: 2048³ took 5% less than with 384 rows (Zen 4). */
enum { KC = VL < 16 ? 384 : 672 };

/** `count` steps of `a` floats in A and of `b` floats in B. */
typedef struct {
  ptrdiff_t count, a, b;
} th_loop;

/** TH_ROWS: consecutive K are adjacent in A, inner.a = 1, and rows are a_row apart.
    TH_COLUMNS: rows are adjacent in A, a_row = 1, as in a transposed matrix. */
typedef enum { TH_ROWS = 0, TH_COLUMNS = 1 } th_form;

/** What is done to finished sums before they are stored, in this order: each bit of `does` is a step. ReLU passes NaN. */
typedef struct {
  enum { TH_SCALE = 1, TH_RELU = 2, TH_ADD = 4, TH_RELU_AFTER = 8 } does;
  const float *scale, *shift; /* TH_SCALE: c · scale + shift for each column */
  ptrdiff_t add;              /* TH_ADD: what is added to an element lies so many floats after it */
} th_epilogue;

/** How a tile reads A and B and writes C. A row of B is NR floats, or VL where cols ≤ VL: all of them are read. */
typedef struct {
  th_loop outer, middle, inner;
  ptrdiff_t a_row;
  ptrdiff_t ldc;
  th_form form;
  th_epilogue epilogue; /* of the tile's columns */
} th_walk;

/** The epilogue for the columns from `column` on, or that which does nothing. */
TH_INLINE th_epilogue epilogue_at(const th_epilogue *e, ptrdiff_t column, int applies) {
  if (!applies) return (th_epilogue){0};
  th_epilogue at = *e;
  if (at.does & TH_SCALE) at.scale += column, at.shift += column;
  return at;
}

/** The epilogue, while the sums of a tile are in registers; `last` columns are in the last vector of each row. */
TH_INLINE void finish(const int rows, const int vectors, vec sum[][2], const th_epilogue *e, const float *c,
                      ptrdiff_t ldc, ptrdiff_t last) {
  TH_UNROLL for (int v = 0; v < vectors; v++) {
    const ptrdiff_t n = v == vectors - 1 ? last : VL;
    if (e->does & TH_SCALE) {
      const vec scale = vec_load_part(e->scale + v * VL, n), shift = vec_load_part(e->shift + v * VL, n);
      TH_UNROLL for (int i = 0; i < rows; i++) sum[i][v] = sum[i][v] * scale + shift;
    }
    if (e->does & TH_RELU) TH_UNROLL for (int i = 0; i < rows; i++) sum[i][v] = drop_where(sum[i][v] < 0, sum[i][v]);
    if (e->does & TH_ADD)
      TH_UNROLL for (int i = 0; i < rows; i++) sum[i][v] += vec_load_part(c + i * ldc + v * VL + e->add, n);
    if (e->does & TH_RELU_AFTER)
      TH_UNROLL for (int i = 0; i < rows; i++) sum[i][v] = drop_where(sum[i][v] < 0, sum[i][v]);
  }
}

/** c = a · b + bias (cols; NULL for none) or, with `accumulate`, c += a · b. */
typedef void th_tile_kernel(const th_walk *walk, const float *a, const float *b, float *c, ptrdiff_t cols,
                            const float *bias, int accumulate);

#define th_tiles TH_ISA_NAME(th_tiles)
/** [form][is cols > VL][rows - 1]; a tile of one vector may have 2·MR rows, the others MR. */
extern th_tile_kernel *const th_tiles[2][2][2 * MR];

TH_INLINE void multiply_tile(const th_walk *walk, const float *a, const float *b, float *c, ptrdiff_t rows,
                             ptrdiff_t cols, const float *bias, int accumulate) {
  th_tiles[walk->form][cols > VL][rows - 1](walk, a, b, c, cols, bias, accumulate);
}

/** Tiles of NR columns one below the other, a_tile floats apart in A, whose sums are a single run of K. Not what every tile is
    computed with: the longer function would keep less in registers. */
typedef void th_column(const th_walk *walk, const float *a, ptrdiff_t a_tile, const float *b, float *c,
                       const float *bias, ptrdiff_t tiles);

#define th_columns TH_ISA_NAME(th_columns)
/** [form][rows - 1]. */
extern th_column *const th_columns[2][MR];

/** The same tile `tiles` times, each a_tile floats further on in A and below the one before in C. To begin and end a call for
    each would take a quarter of the time where 20 are summed, 3% where 256 are. */
TH_INLINE void multiply_tiles(const th_walk *walk, const float *a, ptrdiff_t a_tile, const float *b, float *c,
                              ptrdiff_t rows, ptrdiff_t cols, const float *bias, int accumulate, ptrdiff_t tiles) {
  const int single_run = walk->outer.count == 1 && walk->middle.count == 1;
  if (tiles > 1 && cols == NR && single_run && !accumulate && !walk->epilogue.does) {
    th_columns[walk->form][rows - 1](walk, a, a_tile, b, c, bias, tiles);
    return;
  }
  for (; tiles > 0; tiles--, a += a_tile, c += rows * walk->ldc)
    multiply_tile(walk, a, b, c, rows, cols, bias, accumulate);
}

/** Rows that a tile may have in a product of n columns. */
TH_INLINE ptrdiff_t tile_rows(ptrdiff_t n) { return n <= VL ? 2 * MR : MR; }

/** `rows` rows of C, shared out evenly to tiles one below the other. */
TH_INLINE void multiply_rows(const th_walk *walk, const float *a, const float *b, float *c, ptrdiff_t rows,
                             ptrdiff_t cols, const float *bias, int accumulate) {
  const ptrdiff_t most = tile_rows(cols);
  if (rows <= most) { /* a division would be felt in a small product */
    multiply_tile(walk, a, b, c, rows, cols, bias, accumulate);
    return;
  }
  const ptrdiff_t tiles = th_ceil_div(rows, most), low = rows / tiles, high = rows % tiles;
  const ptrdiff_t rest = high * (low + 1); /* rows of tiles with one more than the others */
  if (high > 0) multiply_tiles(walk, a, (low + 1) * walk->a_row, b, c, low + 1, cols, bias, accumulate, high);
  a += rest * walk->a_row, c += rest * walk->ldc;
  multiply_tiles(walk, a, low * walk->a_row, b, c, low, cols, bias, accumulate, tiles - high);
}

/** Floats in a row of the packed panel that holds `cols` ≤ NR columns of B. */
TH_INLINE ptrdiff_t panel_width(ptrdiff_t cols) { return cols > VL ? NR : VL; }

/** After how many rows, `stride` floats apart, the first comes that shares a set of the L1 cache with row 0: it is a multiple
    of 4 KB away, give or take a line. `limit` if there is none among so many. */
TH_INLINE ptrdiff_t set_period(ptrdiff_t stride, ptrdiff_t limit) {
  const ptrdiff_t page = 1024;
  for (ptrdiff_t i = 1; i < limit; i++) {
    const ptrdiff_t off = i * stride % page;
    if (i * stride >= page - LINE && (off < LINE || page - off < LINE)) return i;
  }
  return limit;
}

/** Whether so many rows of A this far apart get in each other's way: more than 5 of them share a set of the L1 cache, which
    has 8 ways or 12. That costs up to 80% (512 floats apart, 28 rows, Zen 5); to copy A costs 10 to 40%. */
TH_INLINE int rows_collide(ptrdiff_t stride, ptrdiff_t rows) {
  const ptrdiff_t limit = th_ceil_div(rows, 5);
  return set_period(stride, limit) < limit;
}

/** Whether tiles can well read panels of B, with rows ldb apart, where they lie. They must be whole vectors wide. */
TH_INLINE int reads_in_place(ptrdiff_t ldb) { return set_period(ldb, 4) == 4; }

/** A length for rows of at least `floats`, or a distance between matrices, that never collide: an odd number of cache lines. */
TH_INLINE ptrdiff_t apart(ptrdiff_t floats) { return (floats + 31) / 32 * 32 + 16; }

/** Into how many parts `threads` threads should cut the columns of C, and its rows into the rest: what gives one thread the
    least work. Packing a row of B takes the time of about 16 rows of a tile; what a thread does to a row of A before it is
    used takes that of `row_cost` columns. */
TH_INLINE ptrdiff_t choose_column_parts(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t threads, double row_cost) {
  const ptrdiff_t tile = tile_rows(columns), row_tiles = th_ceil_div(rows, tile), panels = th_ceil_div(columns, NR);
  ptrdiff_t best = 1;
  double best_cost = 0;
  for (ptrdiff_t parts = 1; parts <= threads; parts++) {
    if (threads % parts) continue;
    const double m = (double)(tile * th_ceil_div(row_tiles, threads / parts));
    const double n = (double)(NR * th_ceil_div(panels, parts)), cost = (m + 16) * n + row_cost * m;
    if (parts == 1 || cost < best_cost) best = parts, best_cost = cost;
  }
  return best;
}

/** The same walk with fewer loops where one continues the other or has a single step. */
TH_INLINE void walk_simplify(th_walk *w) {
  const th_loop once = {1, 0, 0};
  for (int i = 0; i < 2; i++) {
    const int single = w->form == TH_COLUMNS && w->inner.count == 1;
    const int continues = w->middle.a == w->inner.count * w->inner.a && w->middle.b == w->inner.count * w->inner.b;
    if (single) w->inner = w->middle;
    else if (continues) w->inner.count *= w->middle.count;
    else if (w->middle.count != 1) break;
    w->middle = w->outer;
    w->outer = once;
  }
}

#endif
