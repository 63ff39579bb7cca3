/*
 * Layer and RMS normalisation, a block a row. Statistics are taken in two passes (mean, then deviations from it), which loses
 * nothing where the mean is large. Gradients of weight and bias are sums over rows (column_sums.h).
 */
#include "block_merge.h"
#include "column_sums.h"

namespace {

constexpr int THREADS = 128;

__global__ void normalise_row(float *y, float *mean, float *istd, const float *x, const float *weight,
                              const float *bias, int32_t cols, double eps) {
  const size_t row = blockIdx.x;
  const float *in = x + row * cols;
  float sum = 0;
  for (int32_t i = (int32_t)threadIdx.x; i < cols; i += THREADS) sum += in[i];
  const float near = (float)(th_block_merge<th_sum_doubles>((double)sum) / cols);
  float squares = 0, deviations = 0;
  for (int32_t i = (int32_t)threadIdx.x; i < cols; i += THREADS) {
    squares += (in[i] - near) * (in[i] - near);
    deviations += in[i] - near;
  }
  const double off = th_block_merge<th_sum_doubles>((double)deviations) / cols; /* the mean is near + off */
  const double variance = th_block_merge<th_sum_doubles>((double)squares) / cols - off * off;
  const float rest = (float)off, s = (float)(1 / sqrt(fmax(variance, 0.0) + eps));
  for (int32_t i = (int32_t)threadIdx.x; i < cols; i += THREADS)
    y[row * cols + i] = (in[i] - near - rest) * s * weight[i] + bias[i];
  if (threadIdx.x > 0) return;
  mean[row] = near + rest;
  istd[row] = s;
}

__global__ void normalise_row_rms(float *y, float *irms, const float *x, const float *weight, int32_t cols,
                                  double eps) {
  const size_t row = blockIdx.x;
  const float *in = x + row * cols;
  float squares = 0;
  for (int32_t i = (int32_t)threadIdx.x; i < cols; i += THREADS) squares += in[i] * in[i];
  const float s = (float)(1 / sqrt(th_block_merge<th_sum_doubles>((double)squares) / cols + eps));
  for (int32_t i = (int32_t)threadIdx.x; i < cols; i += THREADS) y[row * cols + i] = in[i] * s * weight[i];
  if (threadIdx.x == 0) irms[row] = s;
}

/** dx = istd · (g - mean(g) - x̂ · mean(g x̂)) with g = dy · weight; without means x̂ = x · istd, and mean(g) is not taken away.
    dx may be dy. */
__global__ void normalise_row_backward(float *dx, const float *dy, const float *x, const float *weight,
                                       const float *mean, const float *istd, int32_t cols) {
  const size_t row = blockIdx.x, first = row * cols;
  const float m = mean ? mean[row] : 0, s = istd[row];
  float sum = 0, dot = 0;
  for (int32_t i = (int32_t)threadIdx.x; i < cols; i += THREADS) {
    const float g = dy[first + i] * weight[i];
    sum += g;
    dot += g * (x[first + i] - m) * s;
  }
  sum = mean ? th_block_merge<th_sum_floats>(sum) / (float)cols : 0;
  dot = th_block_merge<th_sum_floats>(dot) / (float)cols;
  for (int32_t i = (int32_t)threadIdx.x; i < cols; i += THREADS)
    dx[first + i] = s * (dy[first + i] * weight[i] - sum - (x[first + i] - m) * s * dot);
}

struct weight_terms {
  const float *dy, *x, *mean, *istd;
  int32_t cols;
  __device__ __forceinline__ th_terms operator()(int32_t row, int32_t column) const {
    const size_t at = (size_t)row * cols + column;
    return {dy[at] * ((x[at] - (mean ? mean[row] : 0)) * istd[row]), dy[at]};
  }
};

/** Of layer normalisation, or without mean and dbias of RMS normalisation. */
int32_t backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x, const float *weight,
                 const float *mean, const float *istd, int32_t rows, int32_t cols) {
  const int32_t shares = th_column_share_count(rows, cols);
  const th_workspace<double> sums((int64_t)shares * 2 * cols);
  TH_TRY(sums.status(mean ? "layerNormBackward" : "rmsNormBackward"));
  TH_TRY(th_start_column_sums("layer_norm_sums", sums, weight_terms{dy, x, mean, istd, cols}, rows, cols));
  TH_TRY(th_store_column_sums(dweight, dbias, th_column_shares{sums, shares, cols}));
  return th_launch("normalise_row_backward", normalise_row_backward, (unsigned)rows, THREADS, dx, dy, x, weight, mean,
                   istd, cols);
}

} // namespace

int32_t th_layer_norm(float *y, float *mean, float *istd, const float *x, const float *weight, const float *bias,
                      int32_t rows, int32_t cols, double eps) {
  return th_launch("normalise_row", normalise_row, (unsigned)rows, THREADS, y, mean, istd, x, weight, bias, cols, eps);
}

int32_t th_layer_norm_backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
                               const float *weight, const float *mean, const float *istd, int32_t rows, int32_t cols) {
  return backward(dx, dweight, dbias, dy, x, weight, mean, istd, rows, cols);
}

int32_t th_rms_norm(float *y, float *irms, const float *x, const float *weight, int32_t rows, int32_t cols,
                    double eps) {
  return th_launch("normalise_row_rms", normalise_row_rms, (unsigned)rows, THREADS, y, irms, x, weight, cols, eps);
}

int32_t th_rms_norm_backward(float *dx, float *dweight, const float *dy, const float *x, const float *weight,
                             const float *irms, int32_t rows, int32_t cols) {
  return backward(dx, dweight, nullptr, dy, x, weight, nullptr, irms, rows, cols);
}
