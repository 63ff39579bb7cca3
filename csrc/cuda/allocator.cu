/*
 * The caching allocator: memory that a training step frees is what its next step asks for again.
 *
 * cudaMalloc and cudaFree wait for the device, so freed blocks are kept, by size class (four for every power of
 * two), and given out again. That needs no waiting either: all work is in one stream, so whoever gets a block uses
 * it after whoever had it before. Other programs may want the memory, which th_memory_trim gives back.
 */
#include "../common/size_class.h"
#include "device.h"

#include <cmath>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace {

const double MAX_BYTES = 0x1p46;

struct block {
  size_t bytes;
  uint32_t class_index;
  bool live;
};

std::mutex mutex;
/* Never destroyed: at exit, garbage may still be freed on another thread. */
auto &blocks = *new std::unordered_map<void *, block>;
auto &free_lists = *new std::vector<std::vector<void *>>(CLASSES);
double live, peak, cached, limit = INFINITY;

void trim() {
  for (int i = 0; i < CLASSES; i++) {
    for (void *pointer : free_lists[i]) {
      cudaFree(pointer);
      blocks.erase(pointer);
    }
    free_lists[i].clear();
  }
  cached = 0;
}

/** A block from its free list or the device; the mutex is held. */
void *take(uint32_t class_index, size_t bytes) {
  std::vector<void *> &list = free_lists[class_index];
  void *pointer = nullptr;
  if (!list.empty()) {
    pointer = list.back();
    list.pop_back();
    cached -= (double)bytes;
    blocks[pointer].live = true;
    return pointer;
  }
  if (cudaMalloc(&pointer, bytes) != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  blocks[pointer] = {bytes, class_index, true};
  return pointer;
}

} // namespace

void *th_alloc(double requested) {
  if (!(requested >= 0 && requested <= MAX_BYTES)) return nullptr;
  size_t bytes = (size_t)requested;
  const uint32_t class_index = size_class(&bytes);
  const std::lock_guard<std::mutex> lock(mutex);
  if (live + (double)bytes > limit) return nullptr;
  void *pointer = take(class_index, bytes);
  if (!pointer) {
    trim();
    pointer = take(class_index, bytes);
  }
  if (!pointer) return nullptr;
  live += (double)bytes;
  if (live > peak) peak = live;
  return pointer;
}

void th_free(void *pointer) {
  if (!pointer) return;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = blocks.find(pointer);
  if (found == blocks.end() || !found->second.live) return;
  found->second.live = false;
  live -= (double)found->second.bytes;
  cached += (double)found->second.bytes;
  free_lists[found->second.class_index].push_back(pointer);
}

static void deallocate(void *pointer, void *) { th_free(pointer); }

void *th_deallocator(void) { return reinterpret_cast<void *>(deallocate); }

double th_memory_stat(int32_t which) {
  const std::lock_guard<std::mutex> lock(mutex);
  switch (which) {
  case TH_MEMORY_LIVE: return live;
  case TH_MEMORY_PEAK: return peak;
  case TH_MEMORY_CACHED: return cached;
  case TH_MEMORY_LIMIT: return limit;
  default: return 0;
  }
}

void th_memory_reset_peak(void) {
  const std::lock_guard<std::mutex> lock(mutex);
  peak = live;
}

void th_memory_set_limit(double bytes) {
  const std::lock_guard<std::mutex> lock(mutex);
  limit = bytes > 0 ? bytes : INFINITY;
}

void th_memory_trim(void) {
  const std::lock_guard<std::mutex> lock(mutex);
  trim();
}
