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

/** The one or the other. */
TH_INLINE void pack(float *panel, const float *b, ptrdiff_t ldb, int transposed, ptrdiff_t k, ptrdiff_t cols) {
  if (transposed) pack_panel_transposed(panel, b, ldb, k, cols);
  else pack_panel(panel, b, ldb, k, cols);
}

/** Fetches rows first to last of a matrix into the L2 cache, starting with the last float of the first line: what is before it
    belongs to the panel to the left. Inlined because GCC removes calls of a function that does nothing but this. */
TH_INLINE void fetch(const float *matrix, ptrdiff_t ld, ptrdiff_t first, ptrdiff_t last, ptrdiff_t cols) {
  for (ptrdiff_t i = first; i < last; i++)
    for (ptrdiff_t j = LINE - 1; j < cols; j += LINE) __builtin_prefetch(matrix + i * ld + j, 0, 2);
}

/** Rows of a matrix that will be read next; without rows or without columns where there is nothing. */
typedef struct {
  const float *matrix;
  ptrdiff_t ld, rows, cols;
} th_ahead;

/** A panel where it lies, not yet packed, of a b that has n columns from there on. */
TH_INLINE th_ahead panel_ahead(const float *b, ptrdiff_t ldb, int transposed, ptrdiff_t k, ptrdiff_t n) {
  const ptrdiff_t cols = th_min(NR, th_max(0, n));
  return (th_ahead){b, ldb, transposed ? cols : k, transposed ? k : cols};
}

/** Fetches parts t to end of `parts` of what is ahead. Its rows are too far apart for the processor to foresee: one of a packed
    panel took 37 cycles to read from L3 (Zen 3), fetched 5. */
TH_INLINE void fetch_ahead(const th_ahead *a, ptrdiff_t t, ptrdiff_t end, ptrdiff_t parts) {
  if (a->cols > 0) fetch(a->matrix, a->ld, th_split(a->rows, t, parts), th_split(a->rows, end, parts), a->cols);
}

/** out (cols, ldo) = in (rows, ldi) transposed. */
#define transpose TH_ISA_NAME(transpose)
void transpose(float *out, ptrdiff_t ldo, const float *in, ptrdiff_t ldi, ptrdiff_t rows, ptrdiff_t cols);

#endif
