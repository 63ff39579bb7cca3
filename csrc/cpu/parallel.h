/* One fork and join, and work space for it. */
#ifndef TH_PARALLEL_H
#define TH_PARALLEL_H

#include "kernel.h"

/** Called once on each thread; takes its share of the work from its number. */
typedef void th_task(int thread, int threads, void *context);

TH_INLINE void th_parallel(int threads, th_task *task, void *context) {
  if (threads <= 1) {
    task(0, 1, context);
    return;
  }
#pragma omp parallel num_threads(threads)
  task(omp_get_thread_num(), omp_get_num_threads(), context);
}

/** The calling thread among those of a team: all of them make the same calls, and each does its share of what is to be done. */
typedef struct {
  int thread, threads;
} th_member;

/** Runs { … } for each i from 0 to count - 1, shared out to `parts` threads. A single thread does without OpenMP, whose fork
    of one takes 1.5 µs: longer than many a small kernel. */
#define TH_PARALLEL_FOR(parts, i, count, ...)                                                                          \
  do {                                                                                                                 \
    const ptrdiff_t th_count = count;                                                                                  \
    if (parts == 1) {                                                                                                  \
      for (ptrdiff_t i = 0; i < th_count; i++) __VA_ARGS__                                                             \
    } else {                                                                                                           \
      _Pragma("omp parallel for num_threads(parts) schedule(static)") for (ptrdiff_t i = 0; i < th_count; i++)         \
          __VA_ARGS__                                                                                                  \
    }                                                                                                                  \
  } while (0)

/** Floats of one thread's part of a work space, which needs so many: whole cache lines and a gap of a page. What one core
    reads ahead is then never what the next one writes: a convolution's weight gradient took 139 µs without, 117 with. */
TH_INLINE ptrdiff_t th_own_floats(ptrdiff_t floats) { return (floats + 15) / 16 * 16 + 1024; }

/** Work space of all threads of `operation`, taken before the fork, where running out of memory can be reported.
    NULL after th_fail(TH_STATUS_OUT_OF_MEMORY, …). */
TH_INLINE float *th_work_space(int slot, ptrdiff_t floats, const char *operation) {
  const size_t bytes = sizeof(float) * (size_t)(floats > 0 ? floats : 1);
  float *memory = th_scratch(slot, bytes);
  if (!memory) th_fail(TH_STATUS_OUT_OF_MEMORY, "%s: no memory for %zu bytes of work space", operation, bytes);
  return memory;
}

#endif
