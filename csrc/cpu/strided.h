/*
 * Elementwise work over strided arrays, for loops that only know contiguous ones.
 *
 * The elements are visited in linear order, in chunks; those of long rows band by band. An operand that is contiguous in
 * that order is handed to the loop as it is; any other is packed into a small buffer that stays in the L1 cache (and the
 * output unpacked from one). So each operation is one contiguous loop, and every broadcast, transpose and slice costs at
 * most one more pass over cached memory. A broadcast whose elements repeat every few (a bias over rows) is packed once:
 * chunks are then a multiple of its period. A single element for a whole chunk is not packed at all.
 */
#ifndef TH_STRIDED_H
#define TH_STRIDED_H

#include "kernel.h"

#include <string.h>

#include "../common/layout.h"

/** Any 4-byte element. */
typedef uint32_t __attribute__((may_alias)) th_word;

/** n contiguous elements of each operand. */
typedef struct {
  ptrdiff_t n;
  void *out;
  const void *a, *b, *c;
  int single; /* 1 or 2: a or b is a single element, for all n; only of binary operations */
  const void *context;
} th_chunk;

typedef void (*th_chunk_loop)(const th_chunk *chunk);

/** Calls loop for all elements of operands {out, a, b, c} (`operands` of them). `grain`: elements worth a thread. */
void TH_ISA_NAME(th_for_chunks)(const th_layout *layout, int operands, void *const pointers[], th_chunk_loop loop,
                                const void *context, double grain);
#define th_for_chunks TH_ISA_NAME(th_for_chunks)

/** The same band by band, where the rows of the last axis are long; 0 where they are not. */
int TH_ISA_NAME(th_for_bands)(const th_layout *layout, int operands, void *const pointers[], th_chunk_loop loop,
                              const void *context, double grain);
#define th_for_bands TH_ISA_NAME(th_for_bands)

/** Copies operand 1 to operand 0 where both are contiguous, but along different axes; 0 where that is not their layout. */
int TH_ISA_NAME(th_transpose)(th_word *out, const th_word *in, const th_layout *layout, double grain);
#define th_transpose TH_ISA_NAME(th_transpose)

/** buffer[i] = row[i · stride], or, `unpack`, the other way round. */
TH_INLINE void th_copy_row(th_word *buffer, th_word *row, ptrdiff_t stride, ptrdiff_t n, int unpack) {
  if (unpack) {
    if (stride == 1) memcpy(row, buffer, (size_t)n * sizeof *row);
    else
      for (ptrdiff_t i = 0; i < n; i++) row[i * stride] = buffer[i];
  } else if (stride == 1) {
    for (ptrdiff_t i = 0; i < n; i++) buffer[i] = row[i];
  } else if (stride == 0) {
    for (ptrdiff_t i = 0; i < n; i++) buffer[i] = *row;
  } else if (stride == 2) { /* a constant: the compiler shuffles vectors */
    for (ptrdiff_t i = 0; i < n; i++) buffer[i] = row[2 * i];
  } else {
    for (ptrdiff_t i = 0; i < n; i++) buffer[i] = row[i * stride];
  }
}

#endif
