/*
 * Products with few rows or few columns of C. Tiles would read a line or two of each row of the larger matrix, and most of their
 * sums would wait for one another. Here whole rows of it are read in order, as the processor expects, and nothing is packed.
 */
#ifndef TH_FEW_H
#define TH_FEW_H

#include "gemm.h"

enum {
  FEW =
      3, /* rows or columns of C whose sums fit in the registers, four vectors of each, beside what they are made of */
  THIN = 8, /* rows for which this is still faster, one few after another, where tiles would need B packed */
};

/** Whether C has so few rows that rows of B are best read whole. */
TH_INLINE int is_thin(const th_gemm *g) {
  return !g->b_transposed && (g->m <= FEW || (g->m <= THIN && !reads_in_place(g->ldb)));
}

/** Whether C has so few columns that rows of A, which are long enough to fill vectors, are best read whole. */
TH_INLINE int is_narrow(const th_gemm *g) {
  return g->n <= FEW && (g->n == 1 || g->k >= 2 * VL) && !g->a_transposed && !g->epilogue.does;
}

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
