/*
 * The caching allocator: memory that a training step frees is what its next step asks for again.
 *
 * A block is a 64-byte header followed by its memory. Sizes are rounded up to classes, four for every power of two
 * (at most a fifth is wasted), and each class keeps a list of its free blocks: allocating and freeing are a list
 * operation under a mutex. The cache holds at most CACHE_LIMIT bytes; a block freed beyond that goes back to the system,
 * so one huge array is never kept for good. When the system has no memory, the whole cache is given back before failing.
 */
#include "allocator.h"

#include "../common/size_class.h"
#include "../thimble.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Under AddressSanitizer cached memory is poisoned, so a use after th_free is found although nothing was returned. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(pointer, bytes) ASAN_POISON_MEMORY_REGION(pointer, bytes)
#define UNPOISON(pointer, bytes) ASAN_UNPOISON_MEMORY_REGION(pointer, bytes)
#else
#define POISON(pointer, bytes) ((void)0)
#define UNPOISON(pointer, bytes) ((void)0)
#endif

enum { ALIGNMENT = 64 };
static const size_t HUGE_PAGE = (size_t)2 << 20, LARGE_BYTES = (size_t)4 << 20;
static const double MAX_BYTES = 0x1p46, CACHE_LIMIT = 0x1p28;

/* What a header says of its block, so that a second th_free of the same pointer is ignored while it is cached. Numbers
   that memory which is no header would hardly hold. */
enum { LIVE = 0x71b10c01, FREE = 0x71b10c00 };

typedef struct block {
  struct block *next; /* in the free list */
  size_t bytes;       /* of the memory after the header: the size of the class */
  uint32_t class_index, state;
} block;

typedef union {
  block block;
  char padding[ALIGNMENT];
} header;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static block *free_lists[CLASSES];
static double live, peak, cached, limit = 1.0 / 0.0;

static void release(block *b) {
  UNPOISON(b + 1, sizeof(header) - sizeof(block) + b->bytes);
  free(b);
}

static void *memory_of(block *b) { return (header *)b + 1; }

/** Memory of the system. Large blocks ask for huge pages, which many systems give on request only: their first touch and
    walks through more memory than the processor has translations for cost a fraction. */
static void *reserve(size_t bytes) {
  void *memory = NULL;
  const size_t alignment = bytes < LARGE_BYTES ? ALIGNMENT : HUGE_PAGE;
  if (posix_memalign(&memory, alignment, bytes) != 0) return NULL;
#ifdef MADV_HUGEPAGE
  if (bytes >= LARGE_BYTES) madvise(memory, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
  return memory;
}

/** A block from the free list or the system; the mutex is held. NULL when there is no memory. */
static block *take(uint32_t class_index, size_t bytes) {
  block *b = free_lists[class_index];
  if (b) {
    free_lists[class_index] = b->next;
    cached -= (double)b->bytes;
    UNPOISON(memory_of(b), b->bytes);
    return b;
  }
  b = reserve(sizeof(header) + bytes);
  if (!b) return NULL;
  b->bytes = bytes;
  b->class_index = class_index;
  return b;
}

static void trim(void) {
  for (int i = 0; i < CLASSES; i++)
    while (free_lists[i]) {
      block *b = free_lists[i];
      free_lists[i] = b->next;
      release(b);
    }
  cached = 0;
}

void *th_alloc(double requested) {
  if (!(requested >= 0 && requested <= MAX_BYTES)) return NULL;
  size_t bytes = (size_t)requested;
  const uint32_t class_index = size_class(&bytes);

  pthread_mutex_lock(&mutex);
  block *b = NULL;
  if (live + (double)bytes <= limit) {
    b = take(class_index, bytes);
    if (!b) {
      trim();
      b = take(class_index, bytes);
    }
  }
  if (b) {
    b->state = LIVE;
    live += (double)bytes;
    if (live > peak) peak = live;
  }
  pthread_mutex_unlock(&mutex);
  return b ? memory_of(b) : NULL;
}

void th_free(void *pointer) {
  if (!pointer) return;
  block *b = &((header *)pointer - 1)->block;
  pthread_mutex_lock(&mutex);
  if (b->state == LIVE) {
    live -= (double)b->bytes;
    b->state = FREE;
    if (cached + (double)b->bytes > CACHE_LIMIT) {
      release(b);
    } else {
      b->next = free_lists[b->class_index];
      free_lists[b->class_index] = b;
      cached += (double)b->bytes;
      POISON(pointer, b->bytes);
    }
  }
  pthread_mutex_unlock(&mutex);
}

static void deallocate(void *pointer, void *context) {
  (void)context;
  th_free(pointer);
}

void *th_deallocator(void) { return (void *)deallocate; }

double th_memory_stat(int32_t which) {
  pthread_mutex_lock(&mutex);
  const double stats[] = {
      [TH_MEMORY_LIVE] = live, [TH_MEMORY_PEAK] = peak, [TH_MEMORY_CACHED] = cached, [TH_MEMORY_LIMIT] = limit};
  pthread_mutex_unlock(&mutex);
  return which >= 0 && which <= TH_MEMORY_LIMIT ? stats[which] : 0;
}

void th_memory_reset_peak(void) {
  pthread_mutex_lock(&mutex);
  peak = live;
  pthread_mutex_unlock(&mutex);
}

void th_memory_set_limit(double bytes) {
  pthread_mutex_lock(&mutex);
  limit = bytes > 0 ? bytes : 1.0 / 0.0;
  pthread_mutex_unlock(&mutex);
}

void th_trim_cache(void) {
  pthread_mutex_lock(&mutex);
  trim();
  pthread_mutex_unlock(&mutex);
}

int32_t th_upload(void *out, const void *host_in, double bytes) {
  if (bytes > 0) memcpy(out, host_in, (size_t)bytes);
  return TH_STATUS_OK;
}

int32_t th_download(void *host_out, const void *in, double bytes) {
  if (bytes > 0) memcpy(host_out, in, (size_t)bytes);
  return TH_STATUS_OK;
}
