/*
 * Random numbers by Philox (philox.h).
 *
 * Counter based: element i is word i % 4 of the block with counter i / 4, whoever computes it, so threads share no
 * state and results do not depend on their number. What follows the random bits must also be the same everywhere:
 * this file is compiled without contraction to FMA, and uses integers and correctly rounded operations only.
 */
#include "parallel.h"
#include "philox.h"
#include "simd.h"
#include "strided.h"

#include "../common/draw.h"
#include "../common/dropout.h"
#include "../common/vmath.h"

enum { WORDS = 256 };             /* made at a time, in a buffer of 1 KB */
static const double GRAIN = 8192; /* numbers worth a thread */

/* ------------------------------------------------------------------------------------------------- philox */

/** WORDS words from counter `first` on. */
static void philox(uint32_t *words, uint32_t first, uint32_t seed, uint32_t stream) {
  for (uint32_t done = 0; done < WORDS / 4; done += TH_PHILOX_LANES)
    th_philox_lanes(words + 4 * done, first + done, seed, stream);
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

static void make_dropout(float *out, const float *in, const uint32_t *words, ptrdiff_t n, const void *parameters) {
  const th_dropout_rule rule = *(const th_dropout_rule *)parameters;
#pragma omp simd
  for (ptrdiff_t i = 0; i < n; i++) {
    const float kept = in[i] * rule.scale;
    out[i] = th_is_dropped(rule, words[i]) ? 0 : kept;
  }
}

int32_t th_dropout(float *out, const float *in, int32_t n, double p, int32_t seed, int32_t stream) {
  const th_dropout_rule rule = th_make_dropout_rule(p, seed, stream);
  generate(out, in, n, seed, stream, make_dropout, &rule);
  return TH_STATUS_OK;
}

/* ------------------------------------------------------------------------------------------ whole numbers */

/** Pairs of words of a stream, WORDS / 2 of them at a time. */
typedef struct {
  uint32_t words[WORDS];
  ptrdiff_t block; /* that is in words; -1 at the start */
  uint32_t seed, stream;
} pairs;

/** Words 2i and 2i + 1. */
TH_INLINE uint64_t pair(pairs *p, ptrdiff_t i) {
  const ptrdiff_t block = i / (WORDS / 2), at = 2 * (i % (WORDS / 2));
  if (block != p->block) philox(p->words, (uint32_t)(block * (WORDS / 4)), p->seed, p->stream);
  p->block = block;
  return (uint64_t)p->words[at + 1] << 32 | p->words[at];
}

int32_t th_randint(int32_t *out, int32_t n, double low, double high, int32_t seed, int32_t stream) {
  const uint64_t range = (uint64_t)(high - low);
  const int parts = th_threads_for((double)n, GRAIN);
  TH_PARALLEL_FOR(parts, part, parts, {
    pairs p = {.block = -1, .seed = (uint32_t)seed, .stream = (uint32_t)stream};
    for (ptrdiff_t i = th_split(n, part, parts); i < th_split(n, part + 1, parts); i++)
      out[i] = th_draw_int(pair(&p, i), (int32_t)low, range);
  });
  return TH_STATUS_OK;
}

int32_t th_permutation(int32_t *host_out, int32_t n, int32_t seed, int32_t stream) {
  for (int32_t i = 0; i < n; i++) host_out[i] = i;
  pairs p = {.block = -1, .seed = (uint32_t)seed, .stream = (uint32_t)stream};
  for (int32_t i = n - 1; i > 0; i--) {
    const int32_t j = th_draw_int(pair(&p, n - 1 - i), 0, (uint64_t)i + 1);
    const int32_t kept = host_out[i];
    host_out[i] = host_out[j];
    host_out[j] = kept;
  }
  return TH_STATUS_OK;
}

/* ---------------------------------------------------------------------------------------------- by weights */

static void sum_up(double *restrict tree, const float *restrict weights, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; i++) tree[n + i] = (double)weights[i];
  for (ptrdiff_t i = n - 1; i > 0; i--) tree[i] = tree[2 * i] + tree[2 * i + 1];
}

int32_t th_multinomial(int32_t *out, const float *weights, int32_t rows, int32_t cols, int32_t count,
                       int32_t replacement, int32_t seed, int32_t stream) {
  enum { STEPS = 16 }; /* elements that a draw takes as long as */
  const ptrdiff_t n = cols, draws = (ptrdiff_t)rows * count;
  if (draws == 0) return TH_STATUS_OK;
  /* Without replacement a draw depends on those before it in its row, which is then one thread's. With it threads may share
     a row, and each sums it up, if the draws alone are worth that. */
  const ptrdiff_t unit = replacement ? 1 : count, units = draws / unit;
  const double drawing = (double)draws * STEPS;
  const ptrdiff_t by_rows = th_min(rows, th_threads_for((double)rows * (double)n + drawing, GRAIN));
  const int parts = (int)th_max(by_rows, replacement ? th_threads_for(drawing, GRAIN) : 1);
  double *trees = th_scratch(5, (size_t)(parts * 2 * n) * sizeof *trees);
  if (!trees) return th_fail(TH_STATUS_OUT_OF_MEMORY, "multinomial: no memory for %td sums", parts * 2 * n);
  TH_PARALLEL_FOR(parts, part, parts, {
    double *const tree = trees + part * 2 * n;
    pairs p = {.block = -1, .seed = (uint32_t)seed, .stream = (uint32_t)stream};
    const ptrdiff_t first = th_split(units, part, parts) * unit, end = th_split(units, part + 1, parts) * unit;
    for (ptrdiff_t d = first; d < end; d++) {
      if (d == first || d % count == 0) sum_up(tree, weights + d / count * n, n);
      out[d] = th_draw_leaf(tree, (uint32_t)n, pair(&p, d));
      if (!replacement) th_take_leaf(tree, (uint32_t)n, out[d]);
    }
  });
  return TH_STATUS_OK;
}
