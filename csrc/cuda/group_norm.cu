/*
 * Group normalisation, a block a group of one image's channels. Statistics are taken in two passes (mean, then deviations
 * from it), which loses nothing where the mean is large. Gradients of weight and bias are sums over rows (column_sums.h).
 */
#include "block_merge.h"
#include "column_sums.h"

namespace {

/** Of x (images, rows, channels). */
struct group_shape {
  int32_t rows, channels, groups;
};

/** Calls body(element, channel) for this thread's share of the block's group. */
template <class Body> TH_DEVICE void for_group(const group_shape &s, const Body &body) {
  const uint32_t width = (uint32_t)(s.channels / s.groups), count = (uint32_t)s.rows * width;
  const uint32_t image = blockIdx.x / (uint32_t)s.groups, first = blockIdx.x % (uint32_t)s.groups * width;
  for (uint32_t i = threadIdx.x; i < count; i += TH_BLOCK) {
    const uint32_t channel = first + i % width;
    body(((size_t)image * (size_t)s.rows + i / width) * (size_t)s.channels + channel, channel);
  }
}

TH_DEVICE double group_size(const group_shape &s) { return (double)s.rows * (s.channels / s.groups); }

__global__ void normalise_group(float *y, float *mean, float *istd, const float *x, const float *weight,
                                const float *bias, group_shape shape, double eps) {
  const double n = group_size(shape);
  float sum = 0, squares = 0, deviations = 0;
  for_group(shape, [&](size_t at, uint32_t) { sum += x[at]; });
  const float near = (float)(th_block_merge<th_sum_doubles>((double)sum) / n);
  for_group(shape, [&](size_t at, uint32_t) {
    squares += (x[at] - near) * (x[at] - near);
    deviations += x[at] - near;
  });
  const double off = th_block_merge<th_sum_doubles>((double)deviations) / n; /* the mean is near + off */
  const double variance = th_block_merge<th_sum_doubles>((double)squares) / n - off * off;
  const float rest = (float)off, s = (float)(1 / sqrt(fmax(variance, 0.0) + eps));
  for_group(shape, [&](size_t at, uint32_t channel) {
    y[at] = (x[at] - near - rest) * s * (weight ? weight[channel] : 1) + (bias ? bias[channel] : 0);
  });
  if (threadIdx.x > 0) return;
  mean[blockIdx.x] = near + rest;
  istd[blockIdx.x] = s;
}

/** dx = istd · (g - mean(g) - x̂ · mean(g x̂)) with g = dy · weight and the means over the group. dx may be dy. */
__global__ void normalise_group_backward(float *dx, const float *dy, const float *x, const float *weight,
                                         const float *mean, const float *istd, group_shape shape) {
  const float m = mean[blockIdx.x], s = istd[blockIdx.x], n = (float)group_size(shape);
  float sum = 0, dot = 0;
  for_group(shape, [&](size_t at, uint32_t channel) {
    const float g = dy[at] * (weight ? weight[channel] : 1);
    sum += g;
    dot += g * (x[at] - m) * s;
  });
  sum = th_block_merge<th_sum_floats>(sum) / n;
  dot = th_block_merge<th_sum_floats>(dot) / n;
  for_group(shape, [&](size_t at, uint32_t channel) {
    dx[at] = s * (dy[at] * (weight ? weight[channel] : 1) - sum - (x[at] - m) * s * dot);
  });
}

struct weight_terms {
  const float *dy, *x, *mean, *istd;
  group_shape s;
  __device__ __forceinline__ th_terms operator()(int32_t row, int32_t channel) const {
    const size_t at = (size_t)row * s.channels + channel;
    const size_t group = (size_t)(row / s.rows) * s.groups + channel / (s.channels / s.groups);
    return {dy[at] * ((x[at] - mean[group]) * istd[group]), dy[at]};
  }
};

} // namespace

int32_t th_group_norm(float *y, float *mean, float *istd, const float *x, const float *weight, const float *bias,
                      int32_t images, int32_t rows, int32_t channels, int32_t groups, double eps) {
  const unsigned blocks = rows == 0 ? 0 : (unsigned)images * (unsigned)groups;
  return th_launch("normalise_group", normalise_group, blocks, TH_BLOCK, y, mean, istd, x, weight, bias,
                   group_shape{rows, channels, groups}, eps);
}

int32_t th_group_norm_backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
                               const float *weight, const float *mean, const float *istd, int32_t images, int32_t rows,
                               int32_t channels, int32_t groups) {
  const group_shape shape = {rows, channels, groups};
  if (dweight || dbias) {
    const int32_t pixels = images * rows, shares = th_column_share_count(pixels, channels);
    const th_workspace<double> sums((int64_t)shares * 2 * channels);
    TH_TRY(sums.status("groupNormBackward"));
    TH_TRY(th_start_column_sums("group_norm_sums", sums, weight_terms{dy, x, mean, istd, shape}, pixels, channels));
    TH_TRY(th_store_column_sums(dweight, dbias, th_column_shares{sums, shares, channels}));
  }
  const unsigned blocks = dx && rows > 0 ? (unsigned)images * (unsigned)groups : 0;
  return th_launch("normalise_group_backward", normalise_group_backward, blocks, TH_BLOCK, dx, dy, x, weight, mean,
                   istd, shape);
}
