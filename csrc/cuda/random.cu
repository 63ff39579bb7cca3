/*
 * Random numbers by Philox (philox.h), the same bits as csrc/cpu/random.c. Element i is word i % 4 of the block with
 * counter i / 4, and a thread makes one such block.
 *
 * What follows the random bits is the same everywhere too: this file is compiled without contraction to FMA, and uses
 * integers and correctly rounded operations only.
 */
#include "philox.h"

#include <cmath>

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

/** In host memory, on the host. */
int32_t th_permutation(int32_t *host_out, int32_t n, int32_t seed, int32_t stream) {
  for (int32_t i = 0; i < n; i++) host_out[i] = i;
  th_words w = {};
  for (int32_t i = n - 1; i > 0; i--) {
    const uint32_t step = (uint32_t)(n - 1 - i);
    if (step % 2 == 0) w = th_philox(step / 2, (uint32_t)seed, (uint32_t)stream);
    /* 64 random bits scaled to 0 … i: the bias is below 2^-32. */
    const uint64_t random = (uint64_t)w.of[step % 2 * 2 + 1] << 32 | w.of[step % 2 * 2];
    const int32_t j = (int32_t)((unsigned __int128)random * (uint64_t)(i + 1) >> 64);
    const int32_t kept = host_out[i];
    host_out[i] = host_out[j];
    host_out[j] = kept;
  }
  return TH_STATUS_OK;
}
