/* thin */
#include "strided.h"
#include <math.h>
#include <string.h>
static void apply(float *y, const float *x, const float *w, const float *b, const float *mean, const float *istd, ptrdiff_t rows, ptrdiff_t n, int relu) {
  for (ptrdiff_t r = 0; r < rows; r++) for (ptrdiff_t c = 0; c < n; c++) {
    const float v = (x[r * n + c] - mean[c]) * (istd[c] * w[c]) + b[c];
    y[r * n + c] = relu && v < 0 ? 0 : v;
  }
}
int32_t th_batch_norm(float *y, float *mean, float *istd, float *running_mean, float *running_var, const float *x,
                                const float *weight, const float *bias, int32_t rows, int32_t channels, double eps,
                                double momentum, int32_t relu) {
  for (ptrdiff_t c = 0; c < channels; c++) {
    double s = 0, q = 0;
    for (ptrdiff_t r = 0; r < rows; r++) { const double v = x[r * channels + c]; s += v; q += v * v; }
    s /= rows; q = fmax(0, q / rows - s * s);
    mean[c] = (float)s; istd[c] = (float)(1 / sqrt(q + eps));
    if (running_mean) { running_mean[c] += (float)(momentum * (s - running_mean[c]));
    running_var[c] += (float)(momentum * (q * rows / (rows > 1 ? rows - 1 : 1) - running_var[c])); }
  }
  apply(y, x, weight, bias, mean, istd, rows, channels, relu);
  return TH_STATUS_OK;
}
int32_t th_batch_norm_inference(float *y, const float *x, const float *weight, const float *bias, const float *mean,
                                          const float *var, int32_t rows, int32_t channels, double eps, int32_t relu) {
  float *istd = th_scratch(5, (size_t)channels * 4);
  if (!istd) return TH_STATUS_OUT_OF_MEMORY;
  for (ptrdiff_t c = 0; c < channels; c++) istd[c] = (float)(1 / sqrt(var[c] + eps));
  apply(y, x, weight, bias, mean, istd, rows, channels, relu);
  return TH_STATUS_OK;
}
int32_t th_batch_norm_backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
                                         const float *weight, const float *bias, const float *mean, const float *istd,
                                         int32_t rows, int32_t channels, int32_t relu, int32_t fixed) {
  for (ptrdiff_t c = 0; c < channels; c++) {
    double s = 0, q = 0;
    for (ptrdiff_t r = 0; r < rows; r++) {
      const float d = x[r * channels + c] - mean[c], on = !relu || d * (istd[c] * weight[c]) + bias[c] > 0;
      s += on * dy[r * channels + c]; q += on * dy[r * channels + c] * d * istd[c]; }
    dbias[c] = (float)s; dweight[c] = (float)q;
    if (dx) for (ptrdiff_t r = 0; r < rows; r++) {
      const float d = x[r * channels + c] - mean[c], on = !relu || d * (istd[c] * weight[c]) + bias[c] > 0;
      const double g = on * dy[r * channels + c];
      dx[r * channels + c] = (float)(weight[c] * istd[c] * (fixed ? g : g - s / rows - d * istd[c] * q / rows)); }
  }
  return TH_STATUS_OK;
}
