/*
 * Softmax and the cross-entropy loss over rows.
 *
 * A row is read for its maximum, then once more to write e^(x - max) and sum it, and scaled in place: the row stays in
 * cache between the passes, so memory sees it once. Subtracting the maximum keeps every exponent at or below zero.
 */
#include "parallel.h"
#include "rows.h"
#include "strided.h"

static const double GRAIN = 4096; /* elements worth a thread */

/** Threads for so many rows; each row costs as much as some 64 elements before the first of them. */
static int threads_for(int32_t rows, int32_t cols) { return th_threads_for((double)rows * (cols + 64), GRAIN); }

static void scale_row(float *x, ptrdiff_t n, float factor) {
#pragma omp simd
  for (ptrdiff_t i = 0; i < n; i++) x[i] *= factor;
}

/* ------------------------------------------------------------------------------------------------ softmax */

static void softmax_row(float *y, const float *x, ptrdiff_t n, int log_output) {
  const float max = th_row_max(x, n);
  if (!log_output) {
    scale_row(y, n, (float)(1 / th_row_exp(y, x, n, max)));
    return;
  }
  const float log_sum = (float)log(th_row_exp_sum(x, n, max));
#pragma omp simd
  for (ptrdiff_t i = 0; i < n; i++) y[i] = (x[i] - max) - log_sum;
}

int32_t th_softmax(float *y, const float *x, int32_t rows, int32_t cols, int32_t log_output) {
  const ptrdiff_t n = cols;
  if (n == 0) return TH_STATUS_OK;
  const int parts = threads_for(rows, cols);
  TH_PARALLEL_FOR(parts, r, rows, { softmax_row(y + r * n, x + r * n, n, log_output); });
  return TH_STATUS_OK;
}

/** softmax: y · (dy - Σ dy · y); its logarithm: dy - e^y · Σ dy. */
static void softmax_backward_row(float *dx, const float *dy, const float *y, ptrdiff_t n, int log_output) {
  float sum = 0;
  if (log_output) {
    sum = (float)th_row_sum(dy, n);
#pragma omp simd
    for (ptrdiff_t i = 0; i < n; i++) dx[i] = dy[i] - th_expf(y[i]) * sum;
    return;
  }
#pragma omp simd reduction(+ : sum)
  for (ptrdiff_t i = 0; i < n; i++) sum += dy[i] * y[i];
#pragma omp simd
  for (ptrdiff_t i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - sum);
}

int32_t th_softmax_backward(float *dx, const float *dy, const float *y, int32_t rows, int32_t cols,
                            int32_t log_output) {
  const ptrdiff_t n = cols;
  const int parts = threads_for(rows, cols);
  TH_PARALLEL_FOR(parts, r, rows, { softmax_backward_row(dx + r * n, dy + r * n, y + r * n, n, log_output); });
  return TH_STATUS_OK;
}

/* ------------------------------------------------------------------------------------------ cross entropy */

/** The loss of one row; dx, unless NULL, gets its gradient times `scale`. */
static double cross_entropy_row(float *dx, const float *x, int32_t label, ptrdiff_t n, float scale) {
  const float max = th_row_max(x, n), at_label = x[label];
  const double sum = dx ? th_row_exp(dx, x, n, max) : th_row_exp_sum(x, n, max);
  if (dx) {
    scale_row(dx, n, (float)((double)scale / sum));
    dx[label] -= scale;
  }
  return log(sum) + ((double)max - (double)at_label);
}

int32_t th_cross_entropy(float *loss, float *dx, const float *x, const int32_t *labels, int32_t rows, int32_t cols) {
  const ptrdiff_t n = cols;
  const int32_t status = th_check_labels(labels, rows, cols);
  if (status) return status;
  const int parts = threads_for(rows, cols);
  double *partial = th_scratch(5, (size_t)parts * sizeof *partial);
  if (!partial) return TH_STATUS_OUT_OF_MEMORY;
  TH_PARALLEL_FOR(parts, part, parts, {
    double sum = 0;
    for (ptrdiff_t r = th_split(rows, part, parts), end = th_split(rows, part + 1, parts); r < end; r++)
      sum += cross_entropy_row(dx ? dx + r * n : NULL, x + r * n, labels[r], n, 1.0f / (float)rows);
    partial[part] = sum;
  });
  double total = 0;
  for (int part = 0; part < parts; part++) total += partial[part];
  *loss = (float)(total / rows);
  return TH_STATUS_OK;
}
