/* The caching allocator, also from several threads at once, and the library's own settings. */
#include "test.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static double live(void) { return th_memory_stat(TH_MEMORY_LIVE); }

TEST_SUITE(allocator) {
  const double before = live();
  check(th_alloc(NAN) == NULL && th_alloc(-1) == NULL && th_alloc(INFINITY) == NULL && th_alloc(1e18) == NULL,
        "sizes that cannot be");
  void *empty = th_alloc(0);
  check(empty != NULL, "zero bytes have an address");
  th_free(empty);
  th_free(NULL);

  for (double bytes = 1; bytes < 3e7; bytes = bytes * 1.3 + 1) { /* the last ones in huge pages */
    unsigned char *p = th_alloc(bytes);
    check(p && (uintptr_t)p % 64 == 0, "%g bytes are aligned", bytes);
    const double used = live() - before;
    check(used >= bytes && used <= fmax(64, 1.25 * bytes + 1), "%g bytes take %g", bytes, used);
    if (p) memset(p, 0xff, (size_t)bytes);
    th_free(p);
    void *again = th_alloc(bytes);
    check(again == p, "%g bytes are used again", bytes);
    th_free(again);
  }
  check(live() == before, "all is freed");
  check(th_memory_stat(TH_MEMORY_CACHED) > 0, "and cached");
  th_memory_trim();
  check(th_memory_stat(TH_MEMORY_CACHED) == 0, "and given back");
}

TEST_SUITE(allocator_limits) {
  const double before = live();
  check(isinf(th_memory_stat(TH_MEMORY_LIMIT)), "no limit at first");
  th_memory_set_limit(before + 10000);
  void *small = th_alloc(5000), *large = th_alloc(6000);
  check(small && !large, "the limit holds");
  th_memory_set_limit(0);
  large = th_alloc(6000);
  check(large != NULL, "and is lifted");
  th_memory_reset_peak();
  check(th_memory_stat(TH_MEMORY_PEAK) == live(), "peak is reset to what is live");
  const double most = live();
  th_free(small), th_free(large);
  check(th_memory_stat(TH_MEMORY_PEAK) == most && live() == before, "peak stays when memory is freed");
  void *twice = th_alloc(100);
  th_free(twice);
  th_free(twice);
  check(live() == before, "freeing twice is ignored while the block is cached");
  void *a = th_alloc(100), *b = th_alloc(100);
  check(a != b, "and gives its memory out once");
  void (*deallocate)(void *, void *);
  void *address = th_deallocator();
  memcpy(&deallocate, &address, sizeof deallocate);
  deallocate(a, NULL);
  deallocate(b, &b);
  check(live() == before, "the deallocator frees");
  th_memory_trim();
}

/** The CPU's alone: what the system gives at once need not be kept. */
TEST_SUITE(allocator_huge) {
  void *huge = th_alloc(0x1p30 + 1); /* beyond the cache: never touched, so it costs nothing */
  const double cached = th_memory_stat(TH_MEMORY_CACHED);
  th_free(huge);
  check(th_memory_stat(TH_MEMORY_CACHED) == cached, "huge blocks are not cached");
}

static void *churn(void *seed) {
  unsigned state = (unsigned)(uintptr_t)seed;
  unsigned char *held[16] = {0}, marks[16] = {0};
  uintptr_t wrong = 0;
  for (int i = 0; i < 20000; i++) {
    state = state * 1664525u + 1013904223u;
    const int slot = state >> 28, bytes = (int)(state >> 12 & 0xfff) + 1;
    if (held[slot]) wrong += held[slot][0] != marks[slot];
    th_free(held[slot]);
    held[slot] = th_alloc(bytes);
    marks[slot] = (unsigned char)state;
    memset(held[slot], marks[slot], (size_t)bytes);
  }
  for (int i = 0; i < 16; i++) th_free(held[i]);
  return (void *)wrong;
}

TEST_SUITE(allocator_threads) {
  const double before = live();
  pthread_t threads[4];
  for (uintptr_t i = 0; i < 4; i++) pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
  for (int i = 0; i < 4; i++) {
    void *wrong;
    pthread_join(threads[i], &wrong);
    check(!wrong, "thread %d: its memory stays its own", i);
  }
  check(live() == before, "all is freed");
  th_memory_trim();
}

/** A kernel that takes scratch memory, on a thread that ends: its scratch memory must end too (LeakSanitizer). */
static void *one_kernel(void *out) {
  static const float x[] = {1, 2, 3, 4};
  th_reduce(out, x, (const int32_t[]){1, 4, 1}, 1, TH_REDUCE_LOG_SUM_EXP, TH_DTYPE_FLOAT32, 1);
  return NULL;
}

TEST_SUITE(library) {
  const int32_t threads = th_get_threads(), isa = th_get_isa();
  check(th_abi_version() == TH_ABI_VERSION, "ABI version");
  check(th_set_threads(0) != TH_STATUS_OK && th_get_threads() == threads && *th_last_error(), "no threads");
  check(th_set_isa(3) == TH_STATUS_UNSUPPORTED && th_set_isa(-1) == TH_STATUS_UNSUPPORTED && th_get_isa() == isa,
        "unknown instruction sets");
  check(th_set_isa(TH_ISA_PORTABLE) == TH_STATUS_OK && th_get_isa() == TH_ISA_PORTABLE,
        "the portable one is always there");
  th_set_isa(isa);
  pthread_t thread;
  float out = 0;
  pthread_create(&thread, NULL, one_kernel, &out);
  pthread_join(thread, NULL);
  check(fabs((double)out - 4.4401897) < 1e-6, "a kernel on another thread gives %g", (double)out);
  float *device = th_alloc(16), host[4] = {0};
  th_upload(device, (const float[]){1, 2, 3, 4}, 16);
  th_download(host, device, 16);
  check(host[0] == 1 && host[3] == 4, "upload and download");
  check(th_upload(NULL, NULL, 0) == TH_STATUS_OK && th_download(NULL, NULL, 0) == TH_STATUS_OK, "of nothing");
  th_free(device);
}
