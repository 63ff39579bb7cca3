/*
 * Packing copies B into panels: NR columns (VL in a last panel of at most VL), row after row, so that the micro-kernel
 * reads it in order from one place. The columns that a last panel lacks are zero.
 */
#ifndef TH_PACK_H
#define TH_PACK_H

#include "microkernel.h"

/** panel (k, width) = the first cols ≤ NR columns of b (k, ldb). */
#define pack_panel TH_ISA_NAME(pack_panel)
void pack_panel(float *panel, const float *b, ptrdiff_t ldb, ptrdiff_t k, ptrdiff_t cols);

/** The same where b is stored transposed, (cols, ldb) with k floats of each row in use. */
#define pack_panel_transposed TH_ISA_NAME(pack_panel_transposed)
void pack_panel_transposed(float *panel, const float *b, ptrdiff_t ldb, ptrdiff_t k, ptrdiff_t cols);

/** out (cols, ldo) = in (rows, ldi) transposed. */
#define transpose TH_ISA_NAME(transpose)
void transpose(float *out, ptrdiff_t ldo, const float *in, ptrdiff_t ldi, ptrdiff_t rows, ptrdiff_t cols);

#endif
