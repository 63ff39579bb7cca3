/*
 * What every kernel file includes first. A kernel file is compiled once for each instruction set (TH_ISA is portable,
 * avx2 or avx512); kernels.gen.h renames th_name to th_name_avx2 and so on, so the file just implements thimble.h.
 */
#ifndef TH_KERNEL_H
#define TH_KERNEL_H

#define TH_CONCAT_(a, b) a##_##b
#define TH_CONCAT(a, b) TH_CONCAT_(a, b)
/** A name with external linkage that several kernel files of one instruction set share. */
#define TH_ISA_NAME(name) TH_CONCAT(name, TH_ISA)

#define TH_KERNEL /* hidden: only dispatch.gen.c exports */
#include "kernels.gen.h"

#include "../thimble.h"

#include "../common/status.h"

#include <omp.h>
#include <stddef.h>
#include <stdint.h>

#define TH_INLINE static inline __attribute__((always_inline))

TH_INLINE ptrdiff_t th_ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

/** `count` things split evenly into `parts`: the first of part `part`. */
TH_INLINE ptrdiff_t th_split(ptrdiff_t count, ptrdiff_t part, ptrdiff_t parts) {
  return parts == 1 ? count * part : count * part / parts; /* small products would notice the division */
}

/** Threads worth using for `work` units when one thread should have at least `grain`: a fork costs about a microsecond. One
    on a thread that was forked itself. */
int th_threads_for(double work, double grain);

/** Scratch memory of the calling thread, at least `bytes`, 64-byte aligned, kept and grown between calls, until
    th_memory_trim; NULL when out of memory. Each slot is one buffer: two uses that overlap in time take different slots. */
void *th_scratch(int slot, size_t bytes);

#endif
