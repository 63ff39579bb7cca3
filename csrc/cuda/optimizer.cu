/*
 * Optimizer steps over whole parameter lists, one launch a step: the host cuts the list into chunks of elements and sends a
 * table of arrays; a block finds the array of its chunk by bisection.
 */
#include <cmath>
#include <vector>

#include "block_merge.h"

namespace {

constexpr uint32_t CHUNK = 4096;

/** One row of the caller's table; first_chunk counts the chunks before it. */
struct row {
  float *arrays[5];
  uint32_t count, first_chunk;
};

/** The caller's list, on the device. */
class parameter_list {
public:
  parameter_list(const double *table, int32_t count, int arrays) : rows_(count) {
    std::vector<row> rows((size_t)count);
    for (row &r : rows) {
      r = {};
      for (int k = 0; k < arrays; k++) r.arrays[k] = reinterpret_cast<float *>((uintptr_t)table[k]);
      r.count = (uint32_t)table[arrays];
      r.first_chunk = chunks_;
      chunks_ += th_ceil_div(r.count, CHUNK);
      table += arrays + 1;
    }
    count_ = (uint32_t)count;
    status_ = rows_.status("optimizer step");
    if (status_ == TH_STATUS_OK) status_ = th_upload(rows_, rows.data(), (double)(rows.size() * sizeof(row)));
  }
  int32_t status() const { return status_; }
  uint32_t chunks() const { return chunks_; }
  const row *rows() const { return rows_; }
  uint32_t count() const { return count_; }

private:
  th_workspace<row> rows_;
  uint32_t chunks_ = 0, count_ = 0;
  int32_t status_;
};

/** The last row that begins at or before the chunk; rows of no elements share their first chunk with the next. */
TH_DEVICE const row &row_of(const row *rows, uint32_t count, uint32_t chunk) {
  uint32_t low = 0, high = count;
  while (high - low > 1) {
    const uint32_t middle = (low + high) / 2;
    if (rows[middle].first_chunk <= chunk) low = middle;
    else high = middle;
  }
  return rows[low];
}

/** Calls body(row, element) for the elements of the block's chunk. */
template <class Body> TH_DEVICE void for_chunk(const row *rows, uint32_t count, uint32_t chunk, const Body &body) {
  const row r = row_of(rows, count, chunk);
  const uint32_t first = (chunk - r.first_chunk) * CHUNK, end = r.count - first < CHUNK ? r.count : first + CHUNK;
  for (uint32_t i = first + threadIdx.x; i < end; i += TH_BLOCK) body(r, i);
}

struct sgd_options {
  float lr, momentum, weight_decay;
  int nesterov;
};

__global__ void sgd_step(const row *rows, uint32_t count, sgd_options o) {
  for_chunk(rows, count, blockIdx.x, [&](const row &r, uint32_t i) {
    float *p = r.arrays[0], *buffer = r.arrays[2];
    float moved = r.arrays[1][i] + o.weight_decay * p[i];
    if (buffer) {
      const float gradient = moved;
      moved = buffer[i] = o.momentum * buffer[i] + gradient;
      if (o.nesterov) moved = gradient + o.momentum * moved;
    }
    p[i] -= o.lr * moved;
  });
}

struct adam_options {
  float beta1, beta2, rest1, rest2, eps;
  float weight_decay, keep;     /* what goes into the gradient, and what stays of the parameter */
  float step, root_correction2; /* lr / correction1, 1 / √correction2 */
};

__global__ void adam_step(const row *rows, uint32_t count, adam_options o) {
  for_chunk(rows, count, blockIdx.x, [&](const row &r, uint32_t i) {
    float *p = r.arrays[0], *m = r.arrays[2], *v = r.arrays[3];
    const float g = r.arrays[1][i] + o.weight_decay * p[i];
    const float first = o.beta1 * m[i] + o.rest1 * g, second = o.beta2 * v[i] + o.rest2 * (g * g);
    m[i] = first;
    v[i] = second;
    p[i] = o.keep * p[i] - o.step * first / (sqrtf(second) * o.root_correction2 + o.eps);
  });
}

struct rmsprop_options {
  float lr, alpha, rest, eps, weight_decay, momentum;
};

__global__ void rmsprop_step(const row *rows, uint32_t count, rmsprop_options o) {
  for_chunk(rows, count, blockIdx.x, [&](const row &r, uint32_t i) {
    float *p = r.arrays[0], *squares = r.arrays[2], *buffer = r.arrays[3], *mean = r.arrays[4];
    const float g = r.arrays[1][i] + o.weight_decay * p[i];
    float variance = squares[i] = o.alpha * squares[i] + o.rest * (g * g);
    if (mean) {
      const float m = mean[i] = o.alpha * mean[i] + o.rest * g;
      variance -= m * m;
      if (variance < 0) variance = 0; /* by rounding */
    }
    float moved = g / (sqrtf(variance) + o.eps);
    if (buffer) moved = buffer[i] = o.momentum * buffer[i] + moved;
    p[i] -= o.lr * moved;
  });
}

/** The sum of squares of each chunk. */
__global__ void add_squares(double *squares, const row *rows, uint32_t count) {
  float sum = 0;
  for_chunk(rows, count, blockIdx.x, [&](const row &r, uint32_t i) { sum += r.arrays[0][i] * r.arrays[0][i]; });
  const double total = th_block_merge<th_sum_doubles>((double)sum);
  if (threadIdx.x == 0) squares[blockIdx.x] = total;
}

/** The norm, and what gradients are multiplied by: 1 where they are short enough. */
__global__ void find_norm(float *norm, float *factor, const double *squares, uint32_t chunks, double max_norm) {
  double sum = 0;
  for (uint32_t i = threadIdx.x; i < chunks; i += TH_BLOCK) sum += squares[i];
  sum = th_block_merge<th_sum_doubles>(sum);
  if (threadIdx.x > 0) return;
  *norm = (float)sqrt(sum);
  const float by = (float)(max_norm / (sqrt(sum) + 1e-6));
  *factor = by >= 1 ? 1 : by;
}

__global__ void scale_chunk(const float *factor, const row *rows, uint32_t count) {
  const float by = *factor;
  if (by == 1) return;
  for_chunk(rows, count, blockIdx.x, [&](const row &r, uint32_t i) { r.arrays[0][i] *= by; });
}

} // namespace

int32_t th_sgd(const double *host_table, int32_t count, double lr, double momentum, double weight_decay,
               int32_t nesterov) {
  const parameter_list list(host_table, count, 3);
  TH_TRY(list.status());
  return th_launch("sgd_step", sgd_step, list.chunks(), TH_BLOCK, list.rows(), list.count(),
                   sgd_options{(float)lr, (float)momentum, (float)weight_decay, nesterov});
}

int32_t th_adam(const double *host_table, int32_t count, double lr, double beta1, double beta2, double eps,
                double weight_decay, int32_t decoupled, double correction1, double correction2) {
  const parameter_list list(host_table, count, 4);
  TH_TRY(list.status());
  const adam_options o = {(float)beta1,
                          (float)beta2,
                          (float)(1 - beta1),
                          (float)(1 - beta2),
                          (float)eps,
                          decoupled ? 0 : (float)weight_decay,
                          decoupled ? (float)(1 - lr * weight_decay) : 1,
                          (float)(lr / correction1),
                          (float)(1 / sqrt(correction2))};
  return th_launch("adam_step", adam_step, list.chunks(), TH_BLOCK, list.rows(), list.count(), o);
}

int32_t th_rmsprop(const double *host_table, int32_t count, double lr, double alpha, double eps, double weight_decay,
                   double momentum) {
  const parameter_list list(host_table, count, 5);
  TH_TRY(list.status());
  const rmsprop_options o = {(float)lr,  (float)alpha,        (float)(1 - alpha),
                             (float)eps, (float)weight_decay, (float)momentum};
  return th_launch("rmsprop_step", rmsprop_step, list.chunks(), TH_BLOCK, list.rows(), list.count(), o);
}

int32_t th_clip_grad_norm(float *norm, const double *host_table, int32_t count, double max_norm) {
  const parameter_list list(host_table, count, 1);
  TH_TRY(list.status());
  const th_workspace<double> squares(list.chunks());
  const th_workspace<float> factor(1);
  TH_TRY(squares.status("clipGradNorm"));
  TH_TRY(factor.status("clipGradNorm"));
  TH_TRY(th_launch("add_squares", add_squares, list.chunks(), TH_BLOCK, squares, list.rows(), list.count()));
  TH_TRY(th_launch("find_norm", find_norm, 1, TH_BLOCK, norm, factor, squares, list.chunks(), max_norm));
  return th_launch("scale_chunk", scale_chunk, list.chunks(), TH_BLOCK, factor, list.rows(), list.count());
}
