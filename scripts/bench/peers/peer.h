/* What the C peers share: the protocol of scripts/bench/peer.ts, the numbers of fill.ts, and a clock. */
#ifndef THIMBLE_BENCH_PEER_H
#define THIMBLE_BENCH_PEER_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

static inline float number(uint32_t i, uint32_t seed) {
  uint32_t x = i * 2654435761u + seed * 374761393u;
  x = (x ^ (x >> 15)) * 0x2c1b3c6du;
  x ^= x >> 12;
  return (float)(x / 4294967296.0 - 0.5);
}

static inline float *allocate(size_t n) {
  void *memory = NULL;
  if (posix_memalign(&memory, 64, (n + 16) * sizeof(float)) != 0) abort();
  return memory;
}

static inline float *filled(size_t n, uint32_t seed) {
  float *x = allocate(n);
  for (size_t i = 0; i < n; i++) x[i] = number((uint32_t)i, seed);
  return x;
}

/* Answers `prepare` with the checksum of a result. */
static inline void answer(const float *y, size_t n) {
  double size = 0, mixed = 0;
  for (size_t i = 0; i < n; i++) {
    size += fabs(y[i]);
    mixed += (double)y[i] * number((uint32_t)i, 99);
  }
  printf("{\"values\": [%.9g, %.9g]}\n", size / (double)n, mixed / (double)n);
}

/* Sets the workload of a `prepare` line up and answers; 0 where this peer does not have it. */
typedef int (*prepare_function)(const char *workload);

/* Reads commands until the end of input. */
static inline int serve(const char *name, prepare_function prepare, void (*step)(void)) {
  char line[512];
  printf("{\"name\": \"%s\"}\n", name);
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL) {
    int samples, repeats;
    if (strncmp(line, "prepare ", 8) == 0) {
      if (!prepare(line + 8)) printf("{\"missing\": \"not in this peer\"}\n");
    } else if (sscanf(line, "run %d %d", &samples, &repeats) == 2) {
      for (int s = 0; s < samples; s++) {
        const double start = milliseconds();
        for (int r = 0; r < repeats; r++) step();
        printf("%s%.9g", s == 0 ? "{\"ms\": [" : ", ", (milliseconds() - start) / repeats);
      }
      printf("]}\n");
    } else {
      return 1;
    }
    fflush(stdout);
  }
  return 0;
}

#endif
