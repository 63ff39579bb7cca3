/*
 * What this machine can do, for the roofline: FMA peak and copy bandwidth by working set, all threads together. Prints one
 * line of JSON. Usage: machine THREADS
 */
#include <omp.h>

#include "peer.h"

#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
typedef float vector __attribute__((vector_size(LANES * sizeof(float))));
enum { CHAINS = 10, ROUNDS = 4000000 };

/* Between attempts: what disturbs one may be gone at the next. */
static void pause_briefly(void) { nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); }

/* GFLOP/s of independent chains of multiply-adds in registers. */
static double fma_peak(void) {
  double best = 0;
  for (int attempt = 0; attempt < 20; attempt++) {
    if (attempt % 5 == 4) pause_briefly();
    const double start = milliseconds();
    double flops = 0;
#pragma omp parallel reduction(+ : flops)
    {
      vector sums[CHAINS], x, y;
      for (int i = 0; i < LANES; i++) x[i] = 0.999f, y[i] = 1e-3f;
      for (int c = 0; c < CHAINS; c++) sums[c] = x * (float)(c + 1);
      for (int r = 0; r < ROUNDS; r++) {
#pragma GCC unroll 10
        for (int c = 0; c < CHAINS; c++) sums[c] = sums[c] * x + y;
      }
      float total = 0;
      for (int c = 0; c < CHAINS; c++) total += sums[c][0];
      __asm__ volatile("" ::"x"(total)); /* so that the work is not optimized away */
      flops += 2.0 * LANES * CHAINS * ROUNDS;
    }
    best = fmax(best, flops / (milliseconds() - start) / 1e6);
  }
  return best;
}

/* GB/s, read and written, of copies within a working set of `bytes` over all threads. */
static double copy_bandwidth(size_t bytes) {
  const size_t threads = (size_t)omp_get_max_threads(), n = bytes / 2 / threads / sizeof(float) / 16 * 16;
  const int repeats = (int)fmax(1, 1e9 / (double)bytes);
  float *from = filled(n * threads, 1), *to = filled(n * threads, 2);
  double best = 0;
  for (int attempt = 0; attempt < 10; attempt++) {
    if (attempt % 5 == 4) pause_briefly();
    const double start = milliseconds();
#pragma omp parallel
    {
      const size_t offset = (size_t)omp_get_thread_num() * n;
      for (int r = 0; r < repeats; r++) {
        for (size_t i = 0; i < n; i += LANES) *(vector *)(to + offset + i) = *(const vector *)(from + offset + i);
        __asm__ volatile("" ::: "memory");
      }
    }
    best = fmax(best, 2.0 * (double)(n * threads) * sizeof(float) * repeats / (milliseconds() - start) / 1e6);
  }
  free(from), free(to);
  return best;
}

int main(int argc, char **argv) {
  if (argc > 1) omp_set_num_threads(atoi(argv[1]));
  printf("{\"gflops\": %.4g, \"bandwidth\": [", fma_peak());
  for (size_t bytes = 1 << 16; bytes <= 1 << 28; bytes *= 4) {
    printf("%s[%zu, %.4g]", bytes == 1 << 16 ? "" : ", ", bytes, copy_bandwidth(bytes));
  }
  printf("]}\n");
  return 0;
}
