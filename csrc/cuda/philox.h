/* Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): four words for a counter. */
#ifndef TH_CUDA_PHILOX_H
#define TH_CUDA_PHILOX_H

#include "device.h"

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

#endif
