/* Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): four words for a counter. */
#ifndef TH_CUDA_PHILOX_H
#define TH_CUDA_PHILOX_H

#include "device.h"

#include <cmath>

struct th_words {
  uint32_t of[4];
};

static __host__ __device__ inline th_words th_philox(uint32_t counter, uint32_t seed, uint32_t stream) {
  th_words x = {{counter, 0, 0, 0}};
  for (int round = 0; round < 10; round++, seed += 0x9e3779b9u, stream += 0xbb67ae85u) {
    const uint64_t a = (uint64_t)x.of[0] * 0xd2511f53u, b = (uint64_t)x.of[2] * 0xcd9e8d57u;
    x = {{(uint32_t)(b >> 32) ^ x.of[1] ^ seed, (uint32_t)b, (uint32_t)(a >> 32) ^ x.of[3] ^ stream, (uint32_t)a}};
  }
  return x;
}

/** What dropout with probability p does to an element whose random word is given: see th_dropout. */
struct th_dropout_rule {
  int32_t threshold; /* dropped below, of 2^24 */
  float scale;
  uint32_t seed, stream;
};

static inline th_dropout_rule th_make_dropout_rule(double p, int32_t seed, int32_t stream) {
  return {(int32_t)ceil(p * 0x1p24), (float)(1 / (1 - p)), (uint32_t)seed, (uint32_t)stream};
}

TH_DEVICE bool th_is_dropped(const th_dropout_rule &rule, uint32_t word) {
  return (int32_t)(word >> 8) < rule.threshold;
}

#endif
