/*
 * Whether a call that is small is worth a team of threads. After about 0.1 ms without work the threads sleep, and to wake them
 * takes 50 µs: three times what the call may take. So small calls are a team's only while they follow closely one after another,
 * and not for some time after threads waited for a core, or were slower together than one alone.
 */
#ifndef TH_PACE_H
#define TH_PACE_H

#include <time.h>

#include "kernel.h"

/* Calls that follow one another closely before the threads are woken: it takes as long as they gain. */
static const int ENOUGH_CALLS = 8;
static const double CLOSELY = 5e-5;    /* seconds from one's end to the next one's start */
static const double HELD_UP = 4e9;     /* flops a second: a call this slow waited for a thread that has no core, … */
static const double REST_HELD_UP = 20; /* … and for so many times its length one thread computes */
/* The same where cores share no cache: slower than one thread so often in a row, a rest so many times a call's length. */
static const int SLOW_CALLS = 3, REST_SLOW = 100;

/** What calls came before: the calling thread's own, as are the threads that OpenMP keeps for its forks. */
typedef struct {
  int close_calls, slow_calls;
  double end, rest_until, alone; /* seconds; flops a second of one thread, of late */
} th_pace;

TH_INLINE double pace_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/** Whether a call that starts now is a team's. A `large` one is worth its fork in any case. */
TH_INLINE int pace_is_team(th_pace *p, double start, int large) {
  p->close_calls = start - p->end < CLOSELY ? (p->close_calls < ENOUGH_CALLS ? p->close_calls + 1 : ENOUGH_CALLS) : 0;
  return start >= p->rest_until && (p->close_calls >= ENOUGH_CALLS || large);
}

/** Learns from a call of so many flops that has just ended. */
TH_INLINE void pace_learn(th_pace *p, double start, double flops, int large, int is_team) {
  p->end = pace_now();
  const double took = p->end - start;
  if (!is_team) p->alone += (flops / took - p->alone) / 8;
  p->slow_calls = is_team && !large && flops < p->alone * took ? p->slow_calls + 1 : 0;
  if (is_team && flops < HELD_UP * took) p->rest_until = p->end + REST_HELD_UP * took;
  else if (p->slow_calls == SLOW_CALLS) p->rest_until = p->end + REST_SLOW * took;
}

#endif
