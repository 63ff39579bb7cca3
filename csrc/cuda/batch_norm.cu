/*
 * Batch normalisation in three passes: sums by channel (column_sums.h), a thread a channel for what follows from them, and
 * the elements. Squares are those of deviations from a mean nearby, so a large mean costs the variance nothing.
 */
#include "column_sums.h"

namespace {

/** By channel: y = (x - mean) · scale + bias; dx = g · scale + (x - mean) · slope + constant. */
struct transform {
  float *mean, *scale, *bias, *slope, *constant;
};

transform make_transform(float *memory, int32_t channels) {
  return {memory, memory + channels, memory + 2 * channels, memory + 3 * channels, memory + 4 * channels};
}

/** Channels of one launch that has a thread each. */
TH_DEVICE int32_t own_channel() { return (int32_t)(blockIdx.x * blockDim.x + threadIdx.x); }

TH_DEVICE float inverse_std(double variance, double eps) { return (float)(1 / sqrt(variance + eps)); }

/* --------------------------------------------------------------------------------------------------- forward */

/** Σ (x - shift) and Σ (x - shift)² with the first row as the shift, of a stretch by way of its own mean: with d = x - m and
    s = m - shift they are Σ d + n s and Σ d² + 2 s Σ d + n s². */
struct deviations {
  const float *x;
  int32_t channels;
  __device__ __forceinline__ th_stretch_terms operator()(const th_stretch &r) const {
    float values[TH_STRETCH], sum = 0, d = 0, squares = 0;
#pragma unroll
    for (int i = 0; i < TH_STRETCH; i++)
      if (i < r.count) sum += values[i] = x[(size_t)r.row(i) * channels + r.column];
    const float mean = sum / (float)r.count;
#pragma unroll
    for (int i = 0; i < TH_STRETCH; i++)
      if (i < r.count) {
        d += values[i] - mean;
        squares += (values[i] - mean) * (values[i] - mean);
      }
    const double n = r.count, shift = (double)mean - (double)x[r.column], of_d = (double)d;
    return {of_d + n * shift, (double)squares + shift * (2 * of_d + n * shift)};
  }
};

struct statistics {
  float *mean, *istd, *running_mean, *running_var;
  const float *weight, *bias;
  double eps, momentum;
};

__global__ void store_statistics(statistics s, transform t, th_column_shares shares, const float *x, int32_t rows) {
  const int32_t c = own_channel();
  if (c >= shares.columns) return;
  const double n = rows, shifted = shares.total(0, c) / n;
  const double variance = fmax(shares.total(1, c) / n - shifted * shifted, 0.0);
  const double mean = (double)x[c] + shifted, unbiased = rows > 1 ? n / (n - 1) : 1;
  s.mean[c] = (float)mean;
  s.istd[c] = inverse_std(variance, s.eps);
  if (s.running_mean) s.running_mean[c] += (float)(s.momentum * (mean - (double)s.running_mean[c]));
  if (s.running_var) s.running_var[c] += (float)(s.momentum * (variance * unbiased - (double)s.running_var[c]));
  t.mean[c] = s.mean[c];
  t.scale[c] = s.istd[c] * s.weight[c];
  t.bias[c] = s.bias[c];
}

__global__ void set_transform(transform t, const float *mean, const float *var, const float *weight, const float *bias,
                              int32_t channels, double eps) {
  const int32_t c = own_channel();
  if (c >= channels) return;
  t.mean[c] = mean[c];
  t.scale[c] = inverse_std((double)var[c], eps) * weight[c];
  t.bias[c] = bias[c];
}

__global__ void normalise(float *y, const float *x, transform t, uint32_t count, uint32_t channels, int32_t relu) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    const uint32_t c = i % channels;
    const float value = (x[i] - t.mean[c]) * t.scale[c] + t.bias[c];
    y[i] = relu && value < 0 ? 0 : value;
  }
}

int32_t run_normalise(float *y, const float *x, const transform &t, int32_t rows, int32_t channels, int32_t relu) {
  const uint32_t count = (uint32_t)rows * (uint32_t)channels;
  return th_launch("normalise", normalise, th_blocks_for(count), TH_BLOCK, y, x, t, count, (uint32_t)channels, relu);
}

/* -------------------------------------------------------------------------------------------------- backward */

/** The gradient after ReLU's: NaN passes ReLU but not its gradient. */
TH_DEVICE float gradient_at(const float *dy, size_t at, float deviation, float scale, float bias, int32_t relu) {
  return relu && !(deviation * scale + bias > 0) ? 0 : dy[at];
}

struct gradient_terms {
  const float *dy, *x;
  transform t;
  int32_t channels, relu;
  __device__ __forceinline__ th_terms operator()(int32_t row, int32_t c) const {
    const size_t at = (size_t)row * channels + c;
    const float d = x[at] - t.mean[c], g = gradient_at(dy, at, d, t.scale[c], t.bias[c], relu);
    return {g, g * d};
  }
};

__global__ void copy_transform(transform t, const float *mean, const float *istd, const float *weight,
                               const float *bias, int32_t channels) {
  const int32_t c = own_channel();
  if (c >= channels) return;
  t.mean[c] = mean[c];
  t.scale[c] = istd[c] * weight[c];
  t.bias[c] = bias[c];
}

/** With x̂ = (x - mean) · istd, dx = weight · istd · (g - Σ g / rows - x̂ · Σ g x̂ / rows); the two sums are absent where the
    statistics are fixed. */
__global__ void store_gradients(float *dweight, float *dbias, transform t, th_column_shares shares, const float *istd,
                                int32_t rows, int32_t fixed) {
  const int32_t c = own_channel();
  if (c >= shares.columns) return;
  const double first = shares.total(0, c), second = shares.total(1, c), s = (double)istd[c];
  const double scale = (double)t.scale[c];
  dbias[c] = (float)first;
  dweight[c] = (float)(second * s);
  t.constant[c] = fixed ? 0 : (float)(-scale * first / rows);
  t.slope[c] = fixed ? 0 : (float)(-scale * s * s * second / rows);
}

__global__ void store_dx(float *dx, const float *dy, const float *x, transform t, uint32_t count, uint32_t channels,
                         int32_t relu) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    const uint32_t c = i % channels;
    const float d = x[i] - t.mean[c], g = gradient_at(dy, i, d, t.scale[c], t.bias[c], relu);
    dx[i] = g * t.scale[c] + (d * t.slope[c] + t.constant[c]);
  }
}

} // namespace

int32_t th_batch_norm(float *y, float *mean, float *istd, float *running_mean, float *running_var, const float *x,
                      const float *weight, const float *bias, int32_t rows, int32_t channels, double eps,
                      double momentum, int32_t relu) {
  if (rows == 0) return TH_STATUS_OK;
  const int32_t shares = th_column_share_count(rows, channels);
  const th_workspace<double> sums((int64_t)shares * 2 * channels);
  const th_workspace<float> memory(5 * (int64_t)channels);
  TH_TRY(sums.status("batchNorm"));
  TH_TRY(memory.status("batchNorm"));
  const transform t = make_transform(memory, channels);
  TH_TRY(th_sum_column_stretches("batch_norm_sums", sums, deviations{x, channels}, rows, channels));
  TH_TRY(th_launch("store_statistics", store_statistics, th_ceil_div(channels, TH_BLOCK), TH_BLOCK,
                   statistics{mean, istd, running_mean, running_var, weight, bias, eps, momentum}, t,
                   th_column_shares{sums, shares, channels}, x, rows));
  return run_normalise(y, x, t, rows, channels, relu);
}

int32_t th_batch_norm_inference(float *y, const float *x, const float *weight, const float *bias, const float *mean,
                                const float *var, int32_t rows, int32_t channels, double eps, int32_t relu) {
  const th_workspace<float> memory(5 * (int64_t)channels);
  TH_TRY(memory.status("batchNorm"));
  const transform t = make_transform(memory, channels);
  TH_TRY(th_launch("set_transform", set_transform, th_ceil_div(channels, TH_BLOCK), TH_BLOCK, t, mean, var, weight,
                   bias, channels, eps));
  return run_normalise(y, x, t, rows, channels, relu);
}

int32_t th_batch_norm_backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
                               const float *weight, const float *bias, const float *mean, const float *istd,
                               int32_t rows, int32_t channels, int32_t relu, int32_t fixed) {
  const int32_t shares = th_column_share_count(rows, channels);
  const th_workspace<double> sums((int64_t)shares * 2 * channels);
  const th_workspace<float> memory(5 * (int64_t)channels);
  TH_TRY(sums.status("batchNormBackward"));
  TH_TRY(memory.status("batchNormBackward"));
  const transform t = make_transform(memory, channels);
  const unsigned blocks = th_ceil_div(channels, TH_BLOCK);
  TH_TRY(th_launch("copy_transform", copy_transform, blocks, TH_BLOCK, t, mean, istd, weight, bias, channels));
  TH_TRY(
      th_start_column_sums("batch_norm_gradient_sums", sums, gradient_terms{dy, x, t, channels, relu}, rows, channels));
  TH_TRY(th_launch("store_gradients", store_gradients, blocks, TH_BLOCK, dweight, dbias, t,
                   th_column_shares{sums, shares, channels}, istd, rows, fixed));
  if (!dx) return TH_STATUS_OK;
  const uint32_t count = (uint32_t)rows * (uint32_t)channels;
  return th_launch("store_dx", store_dx, th_blocks_for(count), TH_BLOCK, dx, dy, x, t, count, (uint32_t)channels, relu);
}
