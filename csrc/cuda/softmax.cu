/*
 * Softmax and the cross-entropy loss, a block a row. Subtracting the maximum keeps every exponent at or below zero. A row
 * that fits is kept in shared memory between the passes, so it is read once.
 */
#include "block_merge.h"
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

/** The loss of each row; dx, unless NULL, gets its gradient times `scale`. */
__global__ void cross_entropy_row(double *losses, float *dx, const float *x, const int32_t *labels, int32_t cols,
                                  float scale, int32_t keeps, th_index_report *report) {
  const int32_t row = (int32_t)blockIdx.x;
  const float *in = x + (size_t)row * cols;
  float *kept = keeps ? th_shared<float>() : nullptr, max;
  const double sum = exponentials(kept, in, cols, &max);
  const int32_t label = labels[row];
  const bool valid = label >= 0 && label < cols;
  if (threadIdx.x == 0) {
    losses[row] = th_check_index(report, TH_INDEX_LABEL, label, row, cols)
                      ? log(sum) + ((double)max - (double)in[label])
                      : (double)NAN;
  }
  if (!dx) return;
  const float factor = (float)((double)scale / sum);
  for (int32_t i = (int32_t)threadIdx.x; i < cols; i += THREADS) {
    const float p = factor * (kept ? kept[i] : expf(in[i] - max));
    dx[(size_t)row * cols + i] = valid && i == label ? p - scale : p;
  }
}

__global__ void mean_loss(float *loss, const double *losses, int32_t rows) {
  double sum = 0;
  for (int32_t row = (int32_t)threadIdx.x; row < rows; row += THREADS) sum += losses[row];
  sum = th_block_merge<th_sum_doubles>(sum);
  if (threadIdx.x == 0) *loss = (float)(sum / rows);
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

int32_t th_cross_entropy(float *loss, float *dx, const float *x, const int32_t *labels, int32_t rows, int32_t cols) {
  const th_workspace<double> losses(rows);
  TH_TRY(losses.status("cross entropy"));
  const size_t shared = dx ? shared_for(cols) : 0;
  TH_TRY(th_launch_shared("cross_entropy_row", cross_entropy_row, (unsigned)rows, THREADS, shared, losses, dx, x,
                          labels, cols, 1.0f / (float)rows, shared > 0, th_index_reports()));
  return th_launch("mean_loss", mean_loss, 1, THREADS, loss, losses, rows);
}
