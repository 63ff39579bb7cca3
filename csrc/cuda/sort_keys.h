/* Sorting 64-bit keys. */
#ifndef TH_CUDA_SORT_KEYS_H
#define TH_CUDA_SORT_KEYS_H

#include "device.h"

/** Keys that a block sorts in shared memory. */
static constexpr uint32_t TH_SORT_SHARED = 1024;

/** The smallest power of two of at least `count`, and of TH_SORT_SHARED. */
static inline uint32_t th_sort_room(int64_t count) {
  uint32_t room = TH_SORT_SHARED;
  while (room < count) room *= 2;
  return room;
}

/** Sorts each `row` keys, smallest first: a power of two, and at least 2; `count`, all keys, is a multiple of it and of
    TH_SORT_SHARED. */
int32_t th_sort_keys(uint64_t *keys, uint32_t count, uint32_t row);

#endif
