/*
 * Softmax and the cross-entropy loss, a block a row. Subtracting the maximum keeps every exponent at or below zero. A row
 * that fits is kept in shared memory between the passes, so it is read once.
 */
#include "block_merge.h"
#include "cross_entropy.h"
#include "index_check.h"

namespace {

constexpr int THREADS = 256, MOST_SHARED = 8192; /* floats of a row in shared memory */

/** e^(x - max), in `kept` or, where that is NULL, computed again by whoever needs it; the sum in every thread. */
TH_DEVICE double exponentials(float *kept, const float *x, int32_t cols, float *max) {
  float most = -INFINITY;
  for (int32_t i = (int32_t)threadIdx.x; i < cols; i += THREADS) most = th_maximum::merge(most, x[i]);
  *max = th_block_merge<th_maximum>(most);
  float sum = 0;
  for (int32_t i = (int32_t)threadIdx.x; i < cols; i += THREADS) {
    const float e = expf(x[i] - *max);
    if (kept) kept[i] = e;
    sum += e;
  }
  return th_block_merge<th_sum_doubles>((double)sum);
}

__global__ void softmax_row(float *y, const float *x, int32_t cols, int32_t log_output, int32_t keeps) {
  const float *in = x + (size_t)blockIdx.x * cols;
  float *out = y + (size_t)blockIdx.x * cols, *kept = keeps ? th_shared<float>() : nullptr, max;
  const double sum = exponentials(kept, in, cols, &max);
  const float log_sum = (float)log(sum), factor = (float)(1 / sum);
  for (int32_t i = (int32_t)threadIdx.x; i < cols; i += THREADS)
    out[i] = log_output ? (in[i] - max) - log_sum : factor * (kept ? kept[i] : expf(in[i] - max));
}

/** softmax: y · (dy - Σ dy · y); its logarithm: dy - e^y · Σ dy. */
__global__ void softmax_row_backward(float *dx, const float *dy, const float *y, int32_t cols, int32_t log_output) {
  const size_t first = (size_t)blockIdx.x * cols;
  float sum = 0;
  for (int32_t i = (int32_t)threadIdx.x; i < cols; i += THREADS)
    sum += log_output ? dy[first + i] : dy[first + i] * y[first + i];
  sum = th_block_merge<th_sum_floats>(sum);
  for (int32_t i = (int32_t)threadIdx.x; i < cols; i += THREADS) {
    const float g = dy[first + i], out = y[first + i];
    dx[first + i] = log_output ? g - expf(out) * sum : out * (g - sum);
  }
}

/** See th_cross_entropy_rows. What others may overwrite is read before the threads first wait for each other. */
__global__ void cross_entropy_row(th_row_results results, const float *x, const int32_t *labels, int32_t first_row,
                                  int32_t cols, float scale, int32_t keeps, th_index_report *report) {
  const int32_t row = (int32_t)blockIdx.x, label = labels[row];
  const bool valid = label >= 0 && label < cols;
  const float *in = x + (size_t)row * cols;
  const float at_label = valid ? in[label] : NAN;
  float *kept = keeps ? th_shared<float>() : nullptr, max;
  const double sum = exponentials(kept, in, cols, &max);
  float as_large = 0; /* classes before the label with as large a logit */
  if (results.correct) {
    for (int32_t i = (int32_t)threadIdx.x; i < label && valid; i += THREADS) as_large += in[i] == max;
    as_large = th_block_merge<th_sum_floats>(as_large);
  }
  if (threadIdx.x == 0) {
    th_check_index(report, TH_INDEX_LABEL, label, first_row + row, cols);
    results.losses[row] = log(sum) + ((double)max - (double)at_label);
    if (results.correct) results.correct[row] = at_label == max && as_large == 0;
  }
  if (!results.gradient) return;
  float *const gradient = results.gradient + (size_t)row * cols;
  const float factor = (float)((double)scale / sum);
  for (int32_t i = (int32_t)threadIdx.x; i < cols; i += THREADS) {
    const float p = factor * (kept ? kept[i] : expf(in[i] - max));
    gradient[i] = valid && i == label ? p - scale : p;
  }
}

__global__ void sum_rows(float *loss, float *correct, th_row_results results, int32_t rows) {
  double sum = 0, right = 0;
  for (int32_t row = (int32_t)threadIdx.x; row < rows; row += THREADS) {
    sum += results.losses[row];
    if (correct) right += (double)results.correct[row];
  }
  sum = th_block_merge<th_sum_doubles>(sum);
  right = th_block_merge<th_sum_doubles>(right);
  if (threadIdx.x != 0) return;
  *loss = (float)(sum / rows);
  if (correct) *correct = (float)right;
}

size_t shared_for(int32_t cols) { return cols <= MOST_SHARED ? (size_t)cols * sizeof(float) : 0; }

} // namespace

int32_t th_softmax(float *y, const float *x, int32_t rows, int32_t cols, int32_t log_output) {
  if (cols == 0) return TH_STATUS_OK;
  const size_t shared = log_output ? 0 : shared_for(cols);
  return th_launch_shared("softmax_row", softmax_row, (unsigned)rows, THREADS, shared, y, x, cols, log_output,
                          shared > 0);
}

int32_t th_softmax_backward(float *dx, const float *dy, const float *y, int32_t rows, int32_t cols,
                            int32_t log_output) {
  return th_launch("softmax_row_backward", softmax_row_backward, (unsigned)rows, THREADS, dx, dy, y, cols, log_output);
}

int32_t th_cross_entropy_rows(const th_row_results &results, const float *x, const int32_t *labels, int32_t first_row,
                              int32_t rows, int32_t cols, float scale) {
  const size_t shared = results.gradient ? shared_for(cols) : 0;
  return th_launch_shared("cross_entropy_row", cross_entropy_row, (unsigned)rows, THREADS, shared, results, x, labels,
                          first_row, cols, scale, shared > 0, th_index_reports());
}

int32_t th_sum_row_results(float *loss, float *correct, const th_row_results &results, int32_t rows) {
  return th_launch("sum_rows", sum_rows, 1, THREADS, loss, correct, results, rows);
}

int32_t th_cross_entropy(float *loss, float *dx, const float *x, const int32_t *labels, int32_t rows, int32_t cols) {
  const th_workspace<double> losses(rows);
  TH_TRY(losses.status("cross entropy"));
  const th_row_results results = {losses, nullptr, dx};
  TH_TRY(th_cross_entropy_rows(results, x, labels, 0, rows, cols, 1.0f / (float)rows));
  return th_sum_row_results(loss, nullptr, results, rows);
}
