/*
 * Products with few rows or few columns of C. Tiles would read a line or two of each row of the larger matrix, and most of their
 * sums would wait for one another. Here whole rows of it are read in order, as the processor expects, and nothing is packed.
 */
#ifndef TH_FEW_H
#define TH_FEW_H

#include "gemm.h"

/** Rows or columns of C whose sums fit in the registers, four vectors of each, beside what they are made of. */
enum { FEW = 3 };
/** Rows for which this is still faster, a few after another, where tiles would need B packed. */
enum { THIN = 8 };

/** Whether C has so few rows, and so many columns to fill their vectors, that rows of B are best read whole. */
TH_INLINE int is_thin(const th_gemm *g) {
  if (g->b_transposed || g->n <= NR || (g->m > 1 && g->n < 6 * NR)) return 0;
  return g->m <= FEW || (g->m <= THIN && !reads_in_place(g->ldb));
}

/** Whether a column of B is a run of floats. */
TH_INLINE int columns_are_runs(const th_gemm *g) { return g->b_transposed || (g->n == 1 && g->ldb == 1); }

/** Whether C has so few columns that rows of A, long enough to fill vectors, are best read whole. B is then transposed
    first if it must, which some rows pay for. */
TH_INLINE int is_narrow(const th_gemm *g) {
  if (g->n > FEW || g->a_transposed || g->epilogue.does || (g->n > 1 && g->k < 2 * VL)) return 0;
  return columns_are_runs(g) || g->m >= 8;
}

/** A tile of sums along rows of A and of a transposed B: as many as fill the registers. */
enum { DOT_ROWS = 4, DOT_COLUMNS = VL < 16 ? 3 : 6 };

/** Whether a transposed B is so much the larger matrix that it is read where it lies: packing it would not pay. */
TH_INLINE int is_mostly_b(const th_gemm *g) { return g->b_transposed && g->m * (g->k + g->n) < g->n * g->k; }

/** Whether a transposed B is best read along its rows, which become vectors of K: where the rows of A, as columns of the
    flipped product (gemm.c), would leave much of their vectors empty. With AVX-512 20 rows took 0.67 of the time, 8 rows
    0.53 (Zen 4). */
TH_INLINE int is_dots(const th_gemm *g) {
  if (!is_mostly_b(g) || g->a_transposed || g->epilogue.does || g->m <= FEW || g->k < 16 * VL) return 0;
  const ptrdiff_t flipped = th_ceil_div(g->m, VL) * VL;
  return VL < 16 ? 4 * g->m <= 3 * flipped : 8 * g->m < 7 * flipped;
}

#define multiply_dots TH_ISA_NAME(multiply_dots)
void multiply_dots(const th_gemm *g);

#define multiply_thin TH_ISA_NAME(multiply_thin)
#define multiply_narrow TH_ISA_NAME(multiply_narrow)
void multiply_thin(const th_gemm *g);
/** `scratch` has room for B: k · n floats. */
void multiply_narrow(const th_gemm *g, float *scratch);

/** A tile (microkernel.h) of at most FEW rows and any number of columns, for a B that is not packed. */
#define multiply_wide TH_ISA_NAME(multiply_wide)
void multiply_wide(const th_walk *walk, const float *a, const float *b, float *c, ptrdiff_t rows, ptrdiff_t cols,
                   const float *bias, int accumulate);

#endif
