/* One fork and join. A task is called once on each thread and takes its share of the work from its number. */
#ifndef TH_PARALLEL_H
#define TH_PARALLEL_H

#include "kernel.h"

typedef void th_task(int thread, int threads, void *context);

TH_INLINE void th_parallel(int threads, th_task *task, void *context) {
  if (threads <= 1) {
    task(0, 1, context);
    return;
  }
#pragma omp parallel num_threads(threads)
  task(omp_get_thread_num(), omp_get_num_threads(), context);
}

#endif
