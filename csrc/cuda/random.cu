/*
 * Random numbers by Philox (philox.h), the same bits as csrc/cpu/random.c. Element i is word i % 4 of the block with
 * counter i / 4, and a thread makes one such block.
 *
 * What follows the random bits is the same everywhere too: this file is compiled without contraction to FMA, and uses
 * integers and correctly rounded operations only.
 */
#include "philox.h"

#include <cmath>

#include "../common/draw.h"
#include "../common/dropout.h"
#include "../common/vmath.h"

namespace {

/** Make is called as make(values, in, words): four values from four elements of `in`, where there is one, and four words. */
template <class Make>
__global__ void generate(float *out, const float *in, uint32_t n, uint32_t seed, uint32_t stream, Make make) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < (n + 3) / 4; i += gridDim.x * blockDim.x) {
    const uint32_t first = 4 * i, left = n - first;
    float values[4] = {0, 0, 0, 0}, given[4] = {0, 0, 0, 0};
    if (in)
      for (uint32_t k = 0; k < 4 && k < left; k++) given[k] = in[first + k];
    make(values, given, th_philox(i, seed, stream));
    for (uint32_t k = 0; k < 4 && k < left; k++) out[first + k] = values[k];
  }
}

template <class Make>
int32_t run(const char *name, float *out, const float *in, int32_t n, int32_t seed, int32_t stream, const Make &make) {
  return th_launch(name, generate<Make>, th_blocks_for(th_ceil_div(n, 4)), TH_BLOCK, out, in, (uint32_t)n,
                   (uint32_t)seed, (uint32_t)stream, make);
}

struct uniform {
  double low, range; /* range is a float: 24 bits times 24 bits is exact */
  float high, below_high;
  __device__ void operator()(float *values, const float *, const th_words &w) const {
    for (int k = 0; k < 4; k++) {
      const float x = (float)(low + (double)(int32_t)(w.of[k] >> 8) * 0x1p-24 * range);
      values[k] = x < high ? x : below_high; /* it may have been rounded up */
    }
  }
};

/** Box-Muller: words (2i, 2i + 1) give the radius and angle of elements 2i and 2i + 1. */
struct normal {
  float mean, std;
  __device__ void operator()(float *values, const float *, const th_words &w) const {
    for (int k = 0; k < 4; k += 2) {
      const float u = (float)((int32_t)(w.of[k] >> 8) + 1) * 0x1p-24f; /* in (0, 1] */
      const float radius = sqrtf(-2.0f * th_logf(u));
      float cosine, sine;
      th_cos_sin((int32_t)(w.of[k + 1] >> 8), &cosine, &sine);
      values[k] = mean + std * (radius * cosine);
      values[k + 1] = mean + std * (radius * sine);
    }
  }
};

struct dropout {
  th_dropout_rule rule;
  __device__ void operator()(float *values, const float *in, const th_words &w) const {
    for (int k = 0; k < 4; k++) {
      const float kept = in[k] * rule.scale;
      values[k] = th_is_dropped(rule, w.of[k]) ? 0 : kept;
    }
  }
};

/** Words 2i and 2i + 1 of the stream. */
__host__ __device__ uint64_t pair(uint32_t i, uint32_t seed, uint32_t stream) {
  const th_words w = th_philox(i / 2, seed, stream);
  return i % 2 ? (uint64_t)w.of[3] << 32 | w.of[2] : (uint64_t)w.of[1] << 32 | w.of[0];
}

__global__ void randint(int32_t *out, uint32_t n, int32_t low, uint64_t range, uint32_t seed, uint32_t stream) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    out[i] = th_draw_int(pair(i, seed, stream), low, range);
}

/** The tree of a row a block: nodes whose two are there, from the leaves up. */
__global__ void sum_up(double *trees, const float *weights, uint32_t n) {
  double *const tree = trees + (size_t)blockIdx.x * 2 * n;
  const float *const row = weights + (size_t)blockIdx.x * n;
  for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) tree[n + i] = (double)row[i];
  for (uint32_t end = n, start; end > 1; end = start) {
    start = (end + 1) / 2;
    __syncthreads();
    for (uint32_t i = start + threadIdx.x; i < end; i += blockDim.x) tree[i] = tree[2 * i] + tree[2 * i + 1];
  }
}

/** Draws that follow one another are a thread's `unit` each: all those of a row where one depends on those before it. */
__global__ void draw(int32_t *out, double *trees, uint32_t n, uint32_t count, uint32_t unit, uint32_t units,
                     uint32_t before, uint32_t seed, uint32_t stream, int32_t replacement) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < units; i += gridDim.x * blockDim.x) {
    const uint32_t first = i * unit;
    double *const tree = trees + (size_t)(first / count) * 2 * n;
    for (uint32_t d = first; d < first + unit; d++) {
      out[d] = th_draw_leaf(tree, n, pair(before + d, seed, stream));
      if (!replacement) th_take_leaf(tree, n, out[d]);
    }
  }
}

} // namespace

int32_t th_uniform(float *out, int32_t n, double low, double high, int32_t seed, int32_t stream) {
  const float first = (float)low, last = (float)high;
  const uniform make = {low, (float)(high - low), last, first < last ? nextafterf(last, first) : first};
  return run("uniform", out, nullptr, n, seed, stream, make);
}

int32_t th_normal(float *out, int32_t n, double mean, double std, int32_t seed, int32_t stream) {
  return run("normal", out, nullptr, n, seed, stream, normal{(float)mean, (float)std});
}

int32_t th_dropout(float *out, const float *in, int32_t n, double p, int32_t seed, int32_t stream) {
  return run("dropout", out, in, n, seed, stream, dropout{th_make_dropout_rule(p, seed, stream)});
}

int32_t th_randint(int32_t *out, int32_t n, double low, double high, int32_t seed, int32_t stream) {
  return th_launch("randint", randint, th_blocks_for(n), TH_BLOCK, out, (uint32_t)n, (int32_t)low,
                   (uint64_t)(high - low), (uint32_t)seed, (uint32_t)stream);
}

int32_t th_multinomial(int32_t *out, const float *weights, int32_t rows, int32_t cols, int32_t count,
                       int32_t replacement, int32_t seed, int32_t stream) {
  constexpr int64_t MOST_SUMS = (int64_t)1 << 24;
  const int64_t n = cols, most = MOST_SUMS / (2 * n) > 1 ? MOST_SUMS / (2 * n) : 1;
  if (rows == 0 || count == 0) return TH_STATUS_OK;
  const uint32_t unit = replacement ? 1 : (uint32_t)count;
  for (int64_t row = 0; row < rows; row += most) {
    const int64_t some = most < rows - row ? most : rows - row;
    const uint32_t units = (uint32_t)(some * count / unit);
    const th_workspace<double> trees(some * 2 * n);
    TH_TRY(trees.status("multinomial"));
    TH_TRY(th_launch("sum_up", sum_up, (unsigned)some, TH_BLOCK, trees, weights + row * n, (uint32_t)n));
    TH_TRY(th_launch("draw", draw, th_blocks_for(units), TH_BLOCK, out + row * count, trees, (uint32_t)n,
                     (uint32_t)count, unit, units, (uint32_t)(row * count), (uint32_t)seed, (uint32_t)stream,
                     replacement));
  }
  return TH_STATUS_OK;
}

/** In host memory, on the host. */
int32_t th_permutation(int32_t *host_out, int32_t n, int32_t seed, int32_t stream) {
  for (int32_t i = 0; i < n; i++) host_out[i] = i;
  for (int32_t i = n - 1; i > 0; i--) {
    const int32_t j = th_draw_int(pair((uint32_t)(n - 1 - i), (uint32_t)seed, (uint32_t)stream), 0, (uint64_t)i + 1);
    const int32_t kept = host_out[i];
    host_out[i] = host_out[j];
    host_out[j] = kept;
  }
  return TH_STATUS_OK;
}
