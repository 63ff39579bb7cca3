/* The micro-kernels: one function for each number of rows, vectors in a row, and form of A. */
#include "microkernel.h"

/* A row's address is one of a few base pointers plus 0, 1 or 2 strides, which is what an address can hold; one pointer
   for each row would not fit in the registers. */
enum { ROWS_A_BASE = 3, BASES = (2 * MR + ROWS_A_BASE - 1) / ROWS_A_BASE };

/* K taken in one turn of the inner loop. Two where a step is short: 12 sums, whose loop would otherwise be a fifth of it. On a
   core that shares its front end with another program this is 10% faster (Zen 3), alone it makes no difference. */
enum { STEPS = VL < 16 ? 2 : 1 };

/* Whether the lines of C are fetched row by row during the first steps of K. With AVX-512 a tile has 28 of them: asked for all
   at once they would keep A and B waiting, as a core can wait for 24 lines (Zen 4; products 1 to 4% faster). */
enum { FETCHES_BY_ROW = VL == 16 };

/* sum += column k of A times row k of B, k steps on from where base and q point. */
#define STEP(k)                                                                                                        \
  do {                                                                                                                 \
    const float *const at = q + (k)*ldb;                                                                               \
    const vec b0 = vec_load(at), b1 = vectors > 1 ? vec_load(at + VL) : b0;                                            \
    TH_UNROLL for (int i = 0; i < rows; i++) {                                                                         \
      const float *const row =                                                                                         \
          form == TH_ROWS ? base[i / ROWS_A_BASE] + i % ROWS_A_BASE * a_row + (k) : base[0] + (k)*a_step + i;          \
      const vec x = vec_broadcast(*row);                                                                               \
      sum[i][0] += x * b0;                                                                                             \
      if (vectors > 1) sum[i][1] += x * b1;                                                                            \
    }                                                                                                                  \
  } while (0)

/* Moves base and q on. */
#define ADVANCE(steps)                                                                                                 \
  do {                                                                                                                 \
    q += (steps)*ldb;                                                                                                  \
    TH_UNROLL for (int j = 0; j < bases; j++) base[j] += (steps) * (form == TH_ROWS ? 1 : a_step);                     \
  } while (0)

/* The last float of each line of a row of C, exclusively: where a row begins within a line, the tile to the left has fetched
   what is before. */
#define FETCH_ROW(c)                                                                                                   \
  do {                                                                                                                 \
    __builtin_prefetch((c) + vectors * VL - 1, 1);                                                                     \
    if (vectors > 1 && VL == 16) __builtin_prefetch((c) + VL - 1, 1);                                                  \
  } while (0)

/* sum += the run of K from q and `from` on. The first steps each fetch one of `unfetched` rows of C, from `next` on. */
#define SUM_RUN(from)                                                                                                  \
  do {                                                                                                                 \
    TH_UNROLL for (int j = 0; j < bases; j++) {                                                                        \
      base[j] = (from) + j * ROWS_A_BASE * a_row;                                                                      \
      TH_OPAQUE(base[j]);                                                                                              \
    }                                                                                                                  \
    ptrdiff_t k = walk->inner.count;                                                                                   \
    if (FETCHES_BY_ROW)                                                                                                \
      for (; unfetched > 0; unfetched--, k--, next += ldc) {                                                           \
        STEP(0);                                                                                                       \
        ADVANCE(1);                                                                                                    \
        FETCH_ROW(next);                                                                                               \
      }                                                                                                                \
    if (STEPS == 2)                                                                                                    \
      for (; k >= 2; k -= 2) {                                                                                         \
        STEP(0);                                                                                                       \
        STEP(1);                                                                                                       \
        ADVANCE(2);                                                                                                    \
      }                                                                                                                \
    for (; k > 0; k--) {                                                                                               \
      STEP(0);                                                                                                         \
      ADVANCE(1);                                                                                                      \
    }                                                                                                                  \
  } while (0)

/** What the sums of each row start from. */
TH_INLINE void start_of_row(vec start[2], const float *bias, const int vectors, ptrdiff_t last) {
  start[0] = start[1] = (vec){0};
  if (!bias) return;
  if (vectors > 1) start[0] = vec_load(bias), start[1] = vec_load_part(bias + VL, last);
  else start[0] = vec_load_part(bias, last);
}

TH_INLINE void start_sums(const int rows, const int vectors, vec sum[][2], const vec start[2], const float *c,
                          ptrdiff_t ldc) {
  TH_UNROLL for (int i = 0; i < rows; i++) {
    sum[i][0] = start[0];
    sum[i][1] = start[1];
    if (!FETCHES_BY_ROW) FETCH_ROW(c + i * ldc);
  }
}

TH_INLINE void store_sums(const int rows, const int vectors, vec sum[][2], float *c, ptrdiff_t ldc, ptrdiff_t last) {
  TH_UNROLL for (int i = 0; i < rows; i++, c += ldc) {
    float *const end = c + (vectors - 1) * VL;
    if (vectors > 1) vec_store(c, sum[i][0]);
    if (last == VL) vec_store(end, sum[i][vectors - 1]);
    else vec_store_part(end, sum[i][vectors - 1], last);
  }
}

TH_INLINE void tile(const int rows, const int vectors, const th_form form, const th_walk *walk, const float *a,
                    const float *b, float *c, ptrdiff_t cols, const float *bias, int accumulate) {
  const ptrdiff_t ldc = walk->ldc, last = cols - (vectors - 1) * VL; /* columns in the last vector */
  const int bases = form == TH_ROWS ? (rows + ROWS_A_BASE - 1) / ROWS_A_BASE : 1;
  vec sum[2 * MR][2], start[2];
  start_of_row(start, bias, vectors, last);
  start_sums(rows, vectors, sum, start, c, ldc);

  const float *next = c;
  ptrdiff_t unfetched =
      walk->inner.count >= rows ? rows : 0; /* short runs are those of a weight's gradient, C is near */
  ptrdiff_t a_row = walk->a_row, a_step = walk->inner.a, ldb = walk->inner.b;
  for (ptrdiff_t o = walk->outer.count; o > 0; o--, a += walk->outer.a, b += walk->outer.b) {
    const float *a_middle = a, *b_middle = b;
    for (ptrdiff_t m = walk->middle.count; m > 0; m--, a_middle += walk->middle.a, b_middle += walk->middle.b) {
      const float *q = b_middle, *base[BASES];
      SUM_RUN(a_middle);
    }
  }

  if (accumulate) TH_UNROLL for (int i = 0; i < rows; i++) {
      const float *const at = c + i * ldc, *const end =
                                               at + (vectors - 1) * VL; /* the last vector may be part of one */
      if (vectors > 1) sum[i][0] += vec_load(at);
      sum[i][vectors - 1] += last == VL ? vec_load(end) : vec_load_part(end, last);
    }
  if (walk->epilogue.does) finish(rows, vectors, sum, &walk->epilogue, c, ldc, last);
  store_sums(rows, vectors, sum, c, ldc, last);
}

/** Whole tiles with a single run of K one below the other. */
TH_INLINE void column(const int rows, const th_form form, const th_walk *walk, const float *a, ptrdiff_t a_tile,
                      const float *b, float *c, const float *bias, ptrdiff_t tiles) {
  enum { vectors = 2 };
  static const float none[NR] = {0};
  const int bases = form == TH_ROWS ? (rows + ROWS_A_BASE - 1) / ROWS_A_BASE : 1;
  ptrdiff_t a_row = walk->a_row, a_step = walk->inner.a, ldb = walk->inner.b, ldc = walk->ldc;
  if (!bias) bias = none;
  for (; tiles > 0; tiles--, a += a_tile, c += rows * ldc) {
    TH_OPAQUE(bias); /* read again for each tile, as are addresses: they would not fit in the registers */
    TH_OPAQUE(ldc);
    const vec start[2] = {vec_load(bias), vec_load(bias + VL)};
    vec sum[2 * MR][2];
    start_sums(rows, vectors, sum, start, c, ldc);
    const float *next = c;
    ptrdiff_t unfetched = walk->inner.count >= rows ? rows : 0;
    const float *q = b, *base[BASES];
    SUM_RUN(a);
    store_sums(rows, vectors, sum, c, ldc, VL);
  }
}

/* The functions and the tables of them. FOR_ROWS lists the rows of a tile of two vectors, FOR_TALL_ROWS what a tile of
   one vector has beyond that. */
#define FOR_6(X) X(1) X(2) X(3) X(4) X(5) X(6)
#define FOR_10(X) FOR_6(X) X(7) X(8) X(9) X(10)
#define FOR_14(X) FOR_10(X) X(11) X(12) X(13) X(14)
#if TH_MR == 6
#define FOR_ROWS(X) FOR_6(X)
#define FOR_TALL_ROWS(X) X(7) X(8) X(9) X(10) X(11) X(12)
#elif TH_MR == 10
#define FOR_ROWS(X) FOR_10(X)
#define FOR_TALL_ROWS(X) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20)
#elif TH_MR == 14
#define FOR_ROWS(X) FOR_14(X)
#define FOR_TALL_ROWS(X) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28)
#else
#error "MR is 6, 10 or 14"
#endif

#define DEFINE(rows, vectors, form)                                                                                    \
  static void tile_##rows##_##vectors##_##form(const th_walk *walk, const float *a, const float *b, float *c,          \
                                               ptrdiff_t cols, const float *bias, int accumulate) {                    \
    tile(rows, vectors, form, walk, a, b, c, cols, bias, accumulate);                                                  \
  }
#define DEFINE_1(rows) DEFINE(rows, 1, TH_ROWS) DEFINE(rows, 1, TH_COLUMNS)
#define DEFINE_2(rows) DEFINE(rows, 2, TH_ROWS) DEFINE(rows, 2, TH_COLUMNS)
FOR_ROWS(DEFINE_1)
FOR_TALL_ROWS(DEFINE_1)
FOR_ROWS(DEFINE_2)

#define ROWS_1(rows) tile_##rows##_1_TH_ROWS,
#define ROWS_2(rows) tile_##rows##_2_TH_ROWS,
#define COLUMNS_1(rows) tile_##rows##_1_TH_COLUMNS,
#define COLUMNS_2(rows) tile_##rows##_2_TH_COLUMNS,
th_tile_kernel *const th_tiles[2][2][2 * MR] = {
    [TH_ROWS] = {{FOR_ROWS(ROWS_1) FOR_TALL_ROWS(ROWS_1)}, {FOR_ROWS(ROWS_2)}},
    [TH_COLUMNS] = {{FOR_ROWS(COLUMNS_1) FOR_TALL_ROWS(COLUMNS_1)}, {FOR_ROWS(COLUMNS_2)}},
};

#define DEFINE_COLUMN(rows, form)                                                                                      \
  static void column_##rows##_##form(const th_walk *walk, const float *a, ptrdiff_t a_tile, const float *b, float *c,  \
                                     const float *bias, ptrdiff_t tiles) {                                             \
    column(rows, form, walk, a, a_tile, b, c, bias, tiles);                                                            \
  }
#define DEFINE_COLUMNS(rows) DEFINE_COLUMN(rows, TH_ROWS) DEFINE_COLUMN(rows, TH_COLUMNS)
FOR_ROWS(DEFINE_COLUMNS)

#define COLUMN_ROWS(rows) column_##rows##_TH_ROWS,
#define COLUMN_COLUMNS(rows) column_##rows##_TH_COLUMNS,
th_column *const th_columns[2][MR] = {
    [TH_ROWS] = {FOR_ROWS(COLUMN_ROWS)},
    [TH_COLUMNS] = {FOR_ROWS(COLUMN_COLUMNS)},
};
