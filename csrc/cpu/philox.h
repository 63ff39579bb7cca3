/* Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), several counters at a time. */
#ifndef TH_PHILOX_H
#define TH_PHILOX_H

#include "kernel.h"

/* Counters in lanes of 64 bits, of which the low halves count: so one instruction multiplies 32 bits to 64. */
#if defined(__AVX512F__)
#include <immintrin.h>
enum { TH_PHILOX_LANES = 8 };
#define TH_MULTIPLY_WORDS(x, c) (th_counters) _mm512_mul_epu32((__m512i)(x), _mm512_set1_epi64(c))
#elif defined(__AVX2__)
#include <immintrin.h>
enum { TH_PHILOX_LANES = 4 };
#define TH_MULTIPLY_WORDS(x, c) (th_counters) _mm256_mul_epu32((__m256i)(x), _mm256_set1_epi64x(c))
#elif defined(__SSE2__)
#include <emmintrin.h>
enum { TH_PHILOX_LANES = 2 };
#define TH_MULTIPLY_WORDS(x, c) (th_counters) _mm_mul_epu32((__m128i)(x), _mm_set1_epi64x(c))
#else
enum { TH_PHILOX_LANES = 2 };
#define TH_MULTIPLY_WORDS(x, c) (((x)&0xffffffffu) * (c))
#endif
typedef uint64_t th_counters __attribute__((vector_size(8 * TH_PHILOX_LANES)));

/** Words of the counters first … first + TH_PHILOX_LANES - 1 of the stream. */
TH_INLINE void th_philox_lanes(uint32_t *words, uint32_t first, uint32_t seed, uint32_t stream) {
  th_counters x0, x1 = {0}, x2 = {0}, x3 = {0};
  for (uint32_t i = 0; i < TH_PHILOX_LANES; i++) x0[i] = first + i;
  uint32_t key0 = seed, key1 = stream;
  for (int round = 0; round < 10; round++, key0 += 0x9e3779b9u, key1 += 0xbb67ae85u) {
    const th_counters a = TH_MULTIPLY_WORDS(x0, 0xd2511f53u), b = TH_MULTIPLY_WORDS(x2, 0xcd9e8d57u);
    x0 = (b >> 32) ^ x1 ^ key0;
    x2 = (a >> 32) ^ x3 ^ key1;
    x1 = b;
    x3 = a;
  }
  for (int i = 0; i < TH_PHILOX_LANES; i++) {
    words[4 * i] = (uint32_t)x0[i];
    words[4 * i + 1] = (uint32_t)x1[i];
    words[4 * i + 2] = (uint32_t)x2[i];
    words[4 * i + 3] = (uint32_t)x3[i];
  }
}

#endif
