/*
 * What the kernels share and the loader asks for: ABI version, thread count, instruction set, scratch memory.
 *
 * Compiled once, for the oldest processor the build allows, because it runs before anything is known about this one.
 */
#include "allocator.h"
#include "dispatch.h"

#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "../common/status.h"

enum { SCRATCH_SLOTS = 8, ALIGNMENT = 64, MAX_THREADS = 1024 };

int32_t th_abi_version(void) { return TH_ABI_VERSION; }

int32_t th_open(int32_t index) {
  return index == 0 ? TH_STATUS_OK : th_fail(TH_STATUS_UNSUPPORTED, "there is one cpu, with index 0, not %d", index);
}

const char *th_device_name(void) { return "cpu"; }

/* ------------------------------------------------------------------------------------------------ threads */

static atomic_int threads = 1;

int32_t th_get_threads(void) { return atomic_load_explicit(&threads, memory_order_relaxed); }

int32_t th_set_threads(int32_t count) {
  if (count < 1) return th_fail(TH_STATUS_UNSUPPORTED, "the number of threads must be at least 1, got %d", count);
  atomic_store_explicit(&threads, count < MAX_THREADS ? count : MAX_THREADS, memory_order_relaxed);
  return TH_STATUS_OK;
}

int th_threads_for(double work, double grain) {
  const int limit = omp_in_parallel() ? 1 : th_get_threads();
  const double wanted = work / grain;
  return wanted >= limit ? limit : wanted < 2 ? 1 : (int)wanted;
}

/* --------------------------------------------------------------------------------------- instruction set */

static th_isa current_isa = TH_ISA_PORTABLE;

static int isa_available(int32_t isa) {
  if (isa == TH_ISA_PORTABLE) return 1;
#ifdef TH_X86
  __builtin_cpu_init();
  const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (isa == TH_ISA_AVX2) return avx2;
  if (isa == TH_ISA_AVX512)
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
#endif
  return 0;
}

int32_t th_get_isa(void) { return current_isa; }

int32_t th_set_isa(int32_t isa) {
  if (!isa_available(isa))
    return th_fail(TH_STATUS_UNSUPPORTED, "instruction set %d is not available on this processor or in this build",
                   isa);
  current_isa = (th_isa)isa;
  th_dispatch_select(current_isa);
  return TH_STATUS_OK;
}

/* ---------------------------------------------------------------------------------------- scratch memory */

typedef struct {
  void *memory;
  size_t bytes;
} scratch_slot;

static _Thread_local scratch_slot slots[SCRATCH_SLOTS];
static pthread_key_t thread_end; /* its destructor frees the slots of a thread that ends */

static void free_scratch(void *thread_slots) {
  for (int i = 0; i < SCRATCH_SLOTS; i++) {
    scratch_slot *s = (scratch_slot *)thread_slots + i;
    free(s->memory);
    *s = (scratch_slot){0};
  }
}

static void *aligned(size_t bytes) {
  void *memory = NULL;
  return posix_memalign(&memory, ALIGNMENT, bytes) == 0 ? memory : NULL;
}

void *th_scratch(int slot, size_t bytes) {
  scratch_slot *s = &slots[slot];
  if (bytes <= s->bytes) return s->memory;
  free(s->memory);
  *s = (scratch_slot){0};
  void *memory = aligned(bytes);
  if (!memory) {
    th_trim_cache();
    memory = aligned(bytes);
  }
  if (!memory) {
    th_fail(TH_STATUS_OUT_OF_MEMORY, "no memory for %zu bytes of kernel work space", bytes);
    return NULL;
  }
  pthread_setspecific(thread_end, slots);
  *s = (scratch_slot){memory, bytes};
  return memory;
}

void th_memory_trim(void) {
  th_trim_cache();
  free_scratch(slots);
}

/* -------------------------------------------------------------------------------------------------- start */

__attribute__((constructor)) static void start(void) {
  pthread_key_create(&thread_end, free_scratch);
  th_set_threads(omp_get_num_procs());
  for (int32_t isa = TH_ISA_AVX512; isa >= TH_ISA_PORTABLE; isa--)
    if (isa_available(isa)) {
      th_set_isa(isa);
      return;
    }
}
