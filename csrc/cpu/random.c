/*
 * Random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
 *
 * Counter based: element i is word i % 4 of the block with counter i / 4, whoever computes it, so threads share no
 * state and results do not depend on their number. What follows the random bits must also be the same everywhere:
 * this file is compiled without contraction to FMA, and uses integers and correctly rounded operations only.
 */
#include "parallel.h"
#include "strided.h"

#include "../common/vmath.h"

enum { WORDS = 256 };             /* made at a time, in a buffer of 1 KB */
static const double GRAIN = 8192; /* numbers worth a thread */

/* ------------------------------------------------------------------------------------------------- philox */

/* Counters in lanes of 64 bits, of which the low halves count: so one instruction multiplies 32 bits to 64. */
#if defined(__AVX512F__)
#include <immintrin.h>
enum { LANES = 8 };
#define MULTIPLY(x, c) (counters) _mm512_mul_epu32((__m512i)(x), _mm512_set1_epi64(c))
#elif defined(__AVX2__)
#include <immintrin.h>
enum { LANES = 4 };
#define MULTIPLY(x, c) (counters) _mm256_mul_epu32((__m256i)(x), _mm256_set1_epi64x(c))
#elif defined(__SSE2__)
#include <emmintrin.h>
enum { LANES = 2 };
#define MULTIPLY(x, c) (counters) _mm_mul_epu32((__m128i)(x), _mm_set1_epi64x(c))
#else
enum { LANES = 2 };
#define MULTIPLY(x, c) (((x)&0xffffffffu) * (c))
#endif
typedef uint64_t counters __attribute__((vector_size(8 * LANES)));

/** Words of the counters first … first + LANES - 1 of the stream. */
TH_INLINE void philox_lanes(uint32_t *words, uint32_t first, uint32_t seed, uint32_t stream) {
  counters x0, x1 = {0}, x2 = {0}, x3 = {0};
  for (uint32_t i = 0; i < LANES; i++) x0[i] = first + i;
  uint32_t key0 = seed, key1 = stream;
  for (int round = 0; round < 10; round++, key0 += 0x9e3779b9u, key1 += 0xbb67ae85u) {
    const counters a = MULTIPLY(x0, 0xd2511f53u), b = MULTIPLY(x2, 0xcd9e8d57u);
    x0 = (b >> 32) ^ x1 ^ key0;
    x2 = (a >> 32) ^ x3 ^ key1;
    x1 = b;
    x3 = a;
  }
  for (int i = 0; i < LANES; i++) {
    words[4 * i] = (uint32_t)x0[i];
    words[4 * i + 1] = (uint32_t)x1[i];
    words[4 * i + 2] = (uint32_t)x2[i];
    words[4 * i + 3] = (uint32_t)x3[i];
  }
}

/** WORDS words from counter `first` on. */
static void philox(uint32_t *words, uint32_t first, uint32_t seed, uint32_t stream) {
  for (uint32_t done = 0; done < WORDS / 4; done += LANES) philox_lanes(words + 4 * done, first + done, seed, stream);
}

/* ------------------------------------------------------------------------------------------ distributions */

/** Elements from the random words of their positions: n <= WORDS. */
typedef void (*distribution)(float *out, const float *in, const uint32_t *words, ptrdiff_t n, const void *parameters);

static void generate(float *out, const float *in, ptrdiff_t n, int32_t seed, int32_t stream, distribution make,
                     const void *parameters) {
  const ptrdiff_t blocks = th_ceil_div(n, WORDS);
  const int parts = th_threads_for((double)n, GRAIN);
  TH_PARALLEL_FOR(parts, block, blocks, {
    const ptrdiff_t start = block * WORDS, left = n - start;
    _Alignas(64) uint32_t words[WORDS];
    philox(words, (uint32_t)(start / 4), (uint32_t)seed, (uint32_t)stream);
    make(out + start, in ? in + start : NULL, words, left < WORDS ? left : WORDS, parameters);
  });
}

typedef struct {
  double low, range; /* range is a float: 24 bits times 24 bits is exact */
  float high, below_high;
} uniform_parameters;

static void make_uniform(float *out, const float *in, const uint32_t *words, ptrdiff_t n, const void *parameters) {
  (void)in;
  const uniform_parameters p = *(const uniform_parameters *)parameters;
#pragma omp simd
  for (ptrdiff_t i = 0; i < n; i++) {
    const float x = (float)(p.low + (double)(int32_t)(words[i] >> 8) * 0x1p-24 * p.range);
    out[i] = x < p.high ? x : p.below_high; /* it may have been rounded up */
  }
}

int32_t th_uniform(float *out, int32_t n, double low, double high, int32_t seed, int32_t stream) {
  const float first = (float)low, last = (float)high;
  const uniform_parameters p = {low, (float)(high - low), last, first < last ? nextafterf(last, first) : first};
  generate(out, NULL, n, seed, stream, make_uniform, &p);
  return TH_STATUS_OK;
}

typedef struct {
  float mean, std;
} normal_parameters;

/** Box-Muller: words (2i, 2i + 1) give the radius and angle of elements 2i and 2i + 1. */
static void make_normal(float *out, const float *in, const uint32_t *words, ptrdiff_t n, const void *parameters) {
  (void)in;
  const normal_parameters p = *(const normal_parameters *)parameters;
  float pairs[WORDS];
#pragma omp simd
  for (ptrdiff_t i = 0; i < WORDS / 2; i++) {
    const float u = (float)((int32_t)(words[2 * i] >> 8) + 1) * 0x1p-24f; /* in (0, 1] */
    const float radius = sqrtf(-2.0f * th_logf(u));
    float cosine, sine;
    th_cos_sin((int32_t)(words[2 * i + 1] >> 8), &cosine, &sine);
    pairs[2 * i] = p.mean + p.std * (radius * cosine);
    pairs[2 * i + 1] = p.mean + p.std * (radius * sine);
  }
  for (ptrdiff_t i = 0; i < n; i++) out[i] = pairs[i];
}

int32_t th_normal(float *out, int32_t n, double mean, double std, int32_t seed, int32_t stream) {
  const normal_parameters p = {(float)mean, (float)std};
  generate(out, NULL, n, seed, stream, make_normal, &p);
  return TH_STATUS_OK;
}

typedef struct {
  int32_t threshold; /* dropped below, of 2^24 */
  float scale;
} dropout_parameters;

static void make_dropout(float *out, const float *in, const uint32_t *words, ptrdiff_t n, const void *parameters) {
  const dropout_parameters p = *(const dropout_parameters *)parameters;
#pragma omp simd
  for (ptrdiff_t i = 0; i < n; i++) {
    const float kept = in[i] * p.scale;
    out[i] = (int32_t)(words[i] >> 8) < p.threshold ? 0 : kept;
  }
}

int32_t th_dropout(float *out, const float *in, int32_t n, double p, int32_t seed, int32_t stream) {
  const dropout_parameters parameters = {(int32_t)ceil(p * 0x1p24), (float)(1 / (1 - p))};
  generate(out, in, n, seed, stream, make_dropout, &parameters);
  return TH_STATUS_OK;
}

/* -------------------------------------------------------------------------------------------- permutation */

int32_t th_permutation(int32_t *host_out, int32_t n, int32_t seed, int32_t stream) {
  for (int32_t i = 0; i < n; i++) host_out[i] = i;
  uint32_t words[WORDS];
  for (int32_t i = n - 1; i > 0; i--) {
    const uint32_t step = (uint32_t)(n - 1 - i), at = 2 * step % WORDS;
    if (at == 0) philox(words, step / 2, (uint32_t)seed, (uint32_t)stream);
    /* 64 random bits scaled to 0 … i: the bias is below 2^-32. */
    const uint64_t random = (uint64_t)words[at + 1] << 32 | words[at];
    const int32_t j = (int32_t)((unsigned __int128)random * (uint64_t)(i + 1) >> 64);
    const int32_t kept = host_out[i];
    host_out[i] = host_out[j];
    host_out[j] = kept;
  }
  return TH_STATUS_OK;
}
