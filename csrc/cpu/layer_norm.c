/*
 * Layer and RMS normalisation: each row by its own mean and variance, or by its root mean square.
 *
 * A row fits in cache, so its statistics are taken in two passes (mean, then deviations from it), which loses nothing
 * where the mean is large. Gradients of weight and bias sum over rows: each thread sums its own rows, and the partial
 * sums are added in a fixed order.
 */
#include "parallel.h"
#include "rows.h"
#include "strided.h"

#include <string.h>

static const double GRAIN = 8192; /* elements worth a thread */

/** Σ (x - near)², and Σ (x - near), which tells how far `near` is from the mean. */
static double squared_deviations(const float *x, ptrdiff_t n, float near, double *deviation) {
  double total = 0, first = 0;
  for (ptrdiff_t start = 0; start < n; start += TH_ROW_BLOCK) {
    const ptrdiff_t end = start + TH_ROW_BLOCK < n ? start + TH_ROW_BLOCK : n;
    float sum = 0, rest = 0;
#pragma omp simd reduction(+ : sum, rest)
    for (ptrdiff_t i = start; i < end; i++) sum += (x[i] - near) * (x[i] - near), rest += x[i] - near;
    total += (double)sum, first += (double)rest;
  }
  *deviation = first;
  return total;
}

typedef struct {
  float mean, istd;
} moments;

static moments norm_row(float *y, const float *x, const float *weight, const float *bias, ptrdiff_t n, double eps) {
  const float near = (float)(th_row_sum(x, n) / (double)n);
  double off;
  const double squares = squared_deviations(x, n, near, &off) / (double)n;
  off /= (double)n; /* the mean is near + off */
  const float rest = (float)off, istd = (float)(1 / sqrt(fmax(squares - off * off, 0) + eps));
#pragma omp simd
  for (ptrdiff_t i = 0; i < n; i++) y[i] = (x[i] - near - rest) * istd * weight[i] + bias[i];
  return (moments){near + rest, istd};
}

int32_t th_layer_norm(float *y, float *mean, float *istd, const float *x, const float *weight, const float *bias,
                      int32_t rows, int32_t cols, double eps) {
  const ptrdiff_t n = cols;
  const int parts = th_threads_for((double)rows * cols, GRAIN);
  TH_PARALLEL_FOR(parts, r, rows, {
    const moments m = norm_row(y + r * n, x + r * n, weight, bias, n, eps);
    mean[r] = m.mean, istd[r] = m.istd;
  });
  return TH_STATUS_OK;
}

/** 1 / the row's root mean square. */
static float rms_norm_row(float *y, const float *x, const float *weight, ptrdiff_t n, double eps) {
  double sum;
  const float irms = (float)(1 / sqrt(squared_deviations(x, n, 0, &sum) / (double)n + eps));
#pragma omp simd
  for (ptrdiff_t i = 0; i < n; i++) y[i] = x[i] * irms * weight[i];
  return irms;
}

int32_t th_rms_norm(float *y, float *irms, const float *x, const float *weight, int32_t rows, int32_t cols,
                    double eps) {
  const ptrdiff_t n = cols;
  const int parts = th_threads_for((double)rows * cols, GRAIN);
  TH_PARALLEL_FOR(parts, r, rows, irms[r] = rms_norm_row(y + r * n, x + r * n, weight, n, eps););
  return TH_STATUS_OK;
}

/** One row: dx, and what it adds to dweight and, unless NULL, dbias. `centred`: the row's mean was taken away. */
TH_INLINE void backward_row(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
                            const float *weight, float mean, float istd, ptrdiff_t n, int centred) {
  float sum = 0, dot = 0; /* Σ dy · w and Σ dy · w · normalised x */
#pragma omp simd reduction(+ : sum, dot)
  for (ptrdiff_t i = 0; i < n; i++) {
    const float normalised = (x[i] - mean) * istd, g = dy[i] * weight[i];
    dot += g * normalised;
    dweight[i] += dy[i] * normalised;
    if (centred) {
      sum += g;
      dbias[i] += dy[i];
    }
  }
  sum /= (float)n;
  dot /= (float)n;
#pragma omp simd
  for (ptrdiff_t i = 0; i < n; i++) dx[i] = istd * (dy[i] * weight[i] - sum - (x[i] - mean) * istd * dot);
}

/** Of layer normalisation, or without mean and dbias of RMS normalisation. */
static int32_t backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x, const float *weight,
                        const float *mean, const float *istd, int32_t rows, int32_t cols) {
  const ptrdiff_t n = cols, sums = mean ? 2 * n : n;
  const int parts = th_threads_for((double)rows * cols, GRAIN);
  float *partial = th_scratch(5, (size_t)(parts * sums) * sizeof *partial); /* (parts, {dweight, dbias}, cols) */
  if (!partial) return TH_STATUS_OUT_OF_MEMORY;
  TH_PARALLEL_FOR(parts, part, parts, {
    float *w = partial + part * sums, *b = w + n;
    memset(w, 0, (size_t)sums * sizeof *w);
    for (ptrdiff_t r = th_split(rows, part, parts), end = th_split(rows, part + 1, parts); r < end; r++)
      if (mean) backward_row(dx + r * n, w, b, dy + r * n, x + r * n, weight, mean[r], istd[r], n, 1);
      else backward_row(dx + r * n, w, NULL, dy + r * n, x + r * n, weight, 0, istd[r], n, 0);
  });
  for (int k = 0; k < (mean ? 2 : 1); k++) {
    float *total = k ? dbias : dweight;
    for (ptrdiff_t i = 0; i < n; i++) total[i] = 0;
    for (int part = 0; part < parts; part++)
      for (ptrdiff_t i = 0; i < n; i++) total[i] += partial[part * sums + k * n + i];
  }
  return TH_STATUS_OK;
}

int32_t th_layer_norm_backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
                               const float *weight, const float *mean, const float *istd, int32_t rows, int32_t cols) {
  return backward(dx, dweight, dbias, dy, x, weight, mean, istd, rows, cols);
}

int32_t th_rms_norm_backward(float *dx, float *dweight, const float *dy, const float *x, const float *weight,
                             const float *irms, int32_t rows, int32_t cols) {
  return backward(dx, dweight, NULL, dy, x, weight, NULL, irms, rows, cols);
}
