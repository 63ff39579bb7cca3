/*
 * Where the threads of a fork wait for one another. With two threads of a Zen 4 that takes 0.03 µs, where OpenMP's barrier
 * takes 0.3: as long as a small layer. Who waits for more than about 20 µs sleeps, since who is waited for may need its core.
 */
#ifndef TH_BARRIER_H
#define TH_BARRIER_H

#include "kernel.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct {
  atomic_int arrivals; /* of all threads together, ever */
  atomic_int sleepers;
  pthread_mutex_t mutex; /* of who sleeps or wakes */
  pthread_cond_t all_arrived;
} th_barrier;

#define TH_BARRIER_START                                                                                               \
  { .mutex = PTHREAD_MUTEX_INITIALIZER, .all_arrived = PTHREAD_COND_INITIALIZER }

TH_INLINE void th_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/** Returns when each of `threads` threads has called it for the `turn`th time, from 1 on. The last to arrive sees the sleepers, or
    who is about to sleep sees that it has arrived: hence the sequentially consistent order. */
TH_INLINE void th_barrier_wait(th_barrier *b, int threads, int turn) {
  enum { SPINS = 1000 };
  const int all = threads * turn;
  const int is_last = atomic_fetch_add(&b->arrivals, 1) + 1 == all;
  for (int i = 0; i < SPINS && atomic_load(&b->arrivals) < all; i++) th_pause();
  if (is_last ? !atomic_load(&b->sleepers) : atomic_load(&b->arrivals) >= all) return;
  pthread_mutex_lock(&b->mutex);
  if (is_last) {
    pthread_cond_broadcast(&b->all_arrived);
  } else {
    atomic_fetch_add(&b->sleepers, 1);
    while (atomic_load(&b->arrivals) < all) pthread_cond_wait(&b->all_arrived, &b->mutex);
    atomic_fetch_sub(&b->sleepers, 1);
  }
  pthread_mutex_unlock(&b->mutex);
}

#endif
