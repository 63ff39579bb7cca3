/*
 * Elementwise work over strided arrays, for loops that only know contiguous ones.
 *
 * The elements are visited in linear order, in chunks. An operand that is contiguous in that order is handed to the
 * loop as it is; any other is packed into a small buffer that stays in the L1 cache (and the output unpacked from one).
 * So each operation is one contiguous loop, and every broadcast, transpose and slice costs at most one more pass over
 * cached memory. A broadcast whose elements repeat every few (a scalar, a bias over rows) is packed once: chunks are
 * then a multiple of its period.
 */
#ifndef TH_STRIDED_H
#define TH_STRIDED_H

#include "kernel.h"

#include "../common/layout.h"

/** Any 4-byte element. */
typedef uint32_t __attribute__((may_alias)) th_word;

/** One chunk: n contiguous elements of each operand, the output first. */
typedef void (*th_chunk_loop)(void *out, const void *a, const void *b, ptrdiff_t n, const void *context);

/** Calls loop for all elements of operands {out, a, b} (`operands` of them). `grain`: elements worth a thread. */
void TH_ISA_NAME(th_for_chunks)(const th_layout *layout, int operands, void *const pointers[], th_chunk_loop loop,
                                const void *context, double grain);
#define th_for_chunks TH_ISA_NAME(th_for_chunks)

/** Copies operand 1 to operand 0 where both are contiguous, but along different axes; 0 where that is not their layout. */
int TH_ISA_NAME(th_transpose)(th_word *out, const th_word *in, const th_layout *layout, double grain);
#define th_transpose TH_ISA_NAME(th_transpose)

/** First of the n elements that part `part` of `parts` has. */
TH_INLINE ptrdiff_t th_split(ptrdiff_t n, int part, int parts) { return n * part / parts; }

#endif
