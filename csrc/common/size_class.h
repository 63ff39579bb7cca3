/* Sizes of memory that the allocators keep for reuse: four to a doubling, so that at most a fifth is wasted. */
#ifndef TH_SIZE_CLASS_H
#define TH_SIZE_CLASS_H

#include <stddef.h>
#include <stdint.h>

enum { MIN_BYTES = 64, CLASSES = 4 * 48 };

/** Rounds *bytes up to (4 + k)/4 of a power of two, k in 0 … 3, and returns the index of that class. */
static inline uint32_t size_class(size_t *bytes) {
  if (*bytes <= MIN_BYTES) *bytes = MIN_BYTES;
  const int exponent = 63 - __builtin_clzll(*bytes);
  const size_t power = (size_t)1 << exponent, quarter = power / 4;
  const size_t quarters = (*bytes - power + quarter - 1) / quarter;
  *bytes = power + quarters * quarter;
  return 4 * (uint32_t)exponent + (uint32_t)quarters;
}

#endif
