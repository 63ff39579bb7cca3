/*
 * Attention, some scores at a time: those of the whole batch where they are few, else those of a block of queries. They
 * become weights in place, a block of threads a query, and are used up before the next ones are made. Products go by the
 * engine of gemm.h or cuBLAS, to arrays of their own, which are copied to where the caller's axes lie.
 */
#include "block_merge.h"
#include "gemm.h"
#include "philox.h"

#include "../common/dropout.h"

namespace {

/* Scores at a time: 128 MB. Small enough in the emulator for tests to have several blocks. */
#ifdef TH_EMULATED
constexpr int64_t SCORES = 2 << 10;
#else
constexpr int64_t SCORES = 32 << 20;
#endif
constexpr int THREADS = 256;

/** The ABI's shape. */
struct sizes {
  int32_t length, keys, features, values, causal, bias_step, ndim;
  const int32_t *batch, *strides;
  int64_t matrices;
  int32_t rows; /* of a block; all of them where the batch is one */
  bool whole;   /* whether a block is the whole batch */
};

sizes read(const int32_t *shape) {
  sizes s = {shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6], shape + 7, shape + 7 + shape[6],
             1,        0,        false};
  for (int d = 0; d < s.ndim; d++) s.matrices *= s.batch[d];
  const int64_t most = SCORES / (s.keys > 0 ? s.keys : 1);
  s.whole = s.matrices * s.length <= most;
  s.rows = s.whole || s.length <= most ? s.length : most < 1 ? 1 : (int32_t)most;
  return s;
}

/** The matrices of an operand, those of the caller or the work space's, which lie one after another. */
struct matrices {
  const float *data;
  int32_t ld;
  ptrdiff_t stride[TH_MAX_NDIM];
};

matrices operand(const sizes &s, th_operand which, const float *data) {
  const int32_t *const strides = s.strides + which * (s.ndim + 1);
  matrices m = {data, strides[s.ndim], {}};
  for (int d = 0; d < s.ndim; d++) m.stride[d] = strides[d];
  return m;
}

matrices contiguous(const sizes &s, const float *data, int32_t rows, int32_t cols) {
  matrices m = {data, cols, {}};
  ptrdiff_t stride = (ptrdiff_t)rows * cols;
  for (int d = s.ndim - 1; d >= 0; d--) m.stride[d] = stride, stride *= s.batch[d];
  return m;
}

ptrdiff_t offset(const sizes &s, const matrices &m, int64_t index) {
  ptrdiff_t at = 0;
  for (int d = s.ndim - 1; d >= 0; d--) at += index % s.batch[d] * m.stride[d], index /= s.batch[d];
  return at;
}

/** The rows of one matrix, or of all, whose scores there are. */
struct block {
  int64_t index;
  int32_t first, rows;
};

int64_t scores_floats(const sizes &s) { return (s.whole ? s.matrices : 1) * s.rows * s.keys; }

/** Queries of a block, of all its matrices. */
unsigned queries_of(const sizes &s, const block &b) { return (unsigned)((s.whole ? s.matrices : 1) * b.rows); }

/** Calls `work` with each block; with one that has no rows where a matrix has none, as gradients of keys are zero then. */
template <class Work> int32_t for_blocks(const sizes &s, const Work &work) {
  if (s.matrices == 0) return TH_STATUS_OK;
  if (s.whole) return work(block{0, 0, s.length});
  for (int64_t index = 0; index < s.matrices; index++)
    for (int32_t first = 0; first < s.length; first += s.rows)
      TH_TRY(work(block{index, first, s.length - first < s.rows ? s.length - first : s.rows}));
  return TH_STATUS_OK;
}

/** An operand of a block's product: its rows of a matrix, all of the matrix, or what the block itself has. */
struct side {
  matrices of;
  enum { ROWS, MATRIX, OWN } part;
  int32_t transposed;
};

/** c = or, with `add`, += left · right for each of the block's matrices; c is contiguous. */
int32_t multiply(const sizes &s, const block &b, float *c, const side &left, const side &right, int32_t m, int32_t n,
                 int32_t k, int32_t add = 0) {
  th_layout batch = {};
  batch.count = 1;
  const auto start = [&](const side &x) {
    if (s.whole || x.part == side::OWN) return x.of.data;
    return x.of.data + offset(s, x.of, b.index) + (x.part == side::ROWS ? (ptrdiff_t)b.first * x.of.ld : 0);
  };
  for (int d = 0; s.whole && d < s.ndim; d++) {
    const ptrdiff_t strides[TH_MAX_OPERANDS] = {left.of.stride[d], right.of.stride[d]};
    th_add_axis(&batch, 2, s.batch[d], strides);
  }
  const th_matrix x = {start(left), left.of.ld, left.transposed}, y = {start(right), right.of.ld, right.transposed};
  return th_multiply_matrices(c, x, y, nullptr, m, n, k, add, batch);
}

/** Copies an array that is contiguous to where the caller's operand lies. */
int32_t copy_to(const sizes &s, th_operand which, float *out, const float *in, int32_t rows, int32_t cols) {
  const matrices to = operand(s, which, out), from = contiguous(s, in, rows, cols);
  int32_t layout[1 + 3 * TH_MAX_NDIM];
  const int axes = s.ndim + 2;
  layout[0] = axes;
  for (int d = 0; d < s.ndim; d++) {
    layout[1 + d] = s.batch[d];
    layout[1 + axes + d] = (int32_t)to.stride[d];
    layout[1 + 2 * axes + d] = (int32_t)from.stride[d];
  }
  layout[1 + s.ndim] = rows, layout[2 + s.ndim] = cols;
  layout[1 + axes + s.ndim] = to.ld, layout[2 + axes + s.ndim] = 1;
  layout[1 + 2 * axes + s.ndim] = cols, layout[2 + 2 * axes + s.ndim] = 1;
  return th_copy(out, in, layout);
}

/* ------------------------------------------------------------------------------------------------ a query */

/** What is done to the scores of a query, row `first + blockIdx.x` of all of the batch. */
struct scoring {
  th_axes<1> bias_axes;
  const float *bias;
  int32_t bias_row, bias_step, length, keys, causal;
  uint32_t first;
  float scale;
  th_dropout_rule dropout;
};

scoring make_scoring(const sizes &s, const block &b, const float *bias, double scale, const th_dropout_rule &dropout) {
  const matrices m = operand(s, TH_OPERAND_BIAS, bias);
  th_layout batch = {};
  batch.count = 1;
  for (int d = 0; bias && d < s.ndim; d++) {
    const ptrdiff_t strides[TH_MAX_OPERANDS] = {m.stride[d]};
    th_add_axis(&batch, 1, s.batch[d], strides);
  }
  const uint32_t first = (uint32_t)(b.index * s.length + b.first);
  return {th_make_axes<1>(batch), bias,   bias ? m.ld : 0, s.bias_step, s.length, s.keys, s.causal, first,
          (float)scale,           dropout};
}

/** The row in its matrix, and the bias of its first key. */
struct query {
  uint32_t row;
  int32_t keys; /* that it sees */
  const float *bias;

  __device__ query(const scoring &s) : row(s.first + blockIdx.x), keys(s.keys), bias(nullptr) {
    const uint32_t index = row / (uint32_t)s.length;
    const int32_t i = (int32_t)(row % (uint32_t)s.length);
    if (s.causal && i + 1 < keys) keys = i + 1;
    if (!s.bias) return;
    int32_t at[1];
    th_offsets(s.bias_axes, index, at);
    bias = s.bias + at[0] + i * s.bias_row;
  }
  __device__ float score(const scoring &s, float product, int32_t key) const {
    return s.scale * product + (bias ? bias[key * s.bias_step] : 0);
  }
  /** What dropout multiplies the weight of a key by. */
  __device__ float kept(const scoring &s, int32_t key) const {
    if (s.dropout.threshold == 0) return 1;
    const uint32_t counter = row * (((uint32_t)s.keys + 3) / 4) + (uint32_t)key / 4;
    const th_words w = th_philox(counter, s.dropout.seed, s.dropout.stream);
    return th_is_dropped(s.dropout, w.of[key % 4]) ? 0 : s.dropout.scale;
  }
};

/** Products become weights. */
__global__ void make_weights(float *scores, float *largest, float *factors, scoring s) {
  const query q(s);
  float *const x = scores + (size_t)blockIdx.x * s.keys;
  float most = -INFINITY;
  for (int32_t j = (int32_t)threadIdx.x; j < q.keys; j += THREADS) {
    x[j] = q.score(s, x[j], j);
    most = th_maximum::merge(most, x[j]);
  }
  most = th_block_merge<th_maximum>(most);
  const bool sees = most != -INFINITY; /* or NaN */
  const float shift = sees ? most : 0;
  float sum = 0;
  for (int32_t j = (int32_t)threadIdx.x; j < q.keys; j += THREADS) sum += x[j] = expf(x[j] - shift);
  const float factor = sees ? (float)(1 / th_block_merge<th_sum_doubles>((double)sum)) : 0;
  for (int32_t j = (int32_t)threadIdx.x; j < s.keys; j += THREADS)
    x[j] = j < q.keys ? q.kept(s, j) * (factor * x[j]) : 0;
  if (threadIdx.x != 0) return;
  largest[q.row] = shift;
  factors[q.row] = factor;
}

/** Products become weights once more, and what they are given, dy · vᵀ, the gradient of the products. */
__global__ void differentiate(float *scores, float *given, float *dscores, const float *largest, const float *factors,
                              scoring s) {
  const query q(s);
  float *const x = scores + (size_t)blockIdx.x * s.keys, *const g = given + (size_t)blockIdx.x * s.keys;
  const float shift = largest[q.row], factor = factors[q.row];
  float mean = 0;
  for (int32_t j = (int32_t)threadIdx.x; j < q.keys; j += THREADS) {
    x[j] = factor * expf(q.score(s, x[j], j) - shift);
    mean += x[j] * (q.kept(s, j) * g[j]);
  }
  mean = th_block_merge<th_sum_floats>(mean);
  for (int32_t j = (int32_t)threadIdx.x; j < s.keys; j += THREADS) {
    const bool seen = j < q.keys;
    const float kept = seen ? q.kept(s, j) : 0, gradient = seen ? x[j] * (kept * g[j] - mean) : 0;
    x[j] = seen ? kept * x[j] : 0;
    g[j] = s.scale * gradient;
    if (dscores) dscores[(size_t)q.row * s.keys + j] = gradient;
  }
}

} // namespace

int32_t th_attention(float *y, float *statistics, const float *q, const float *k, const float *v, const float *bias,
                     const int32_t *shape, double scale, double p, int32_t seed, int32_t stream) {
  const sizes s = read(shape);
  const int64_t rows = s.matrices * s.length;
  const th_workspace<float> scores(scores_floats(s)), result(rows * s.values);
  TH_TRY(scores.status("attention"));
  TH_TRY(result.status("attention"));
  const side queries = {operand(s, TH_OPERAND_Q, q), side::ROWS, 0};
  const side keys = {operand(s, TH_OPERAND_K, k), side::MATRIX, 1};
  const side values = {operand(s, TH_OPERAND_V, v), side::MATRIX, 0};
  const side weights = {contiguous(s, scores, s.length, s.keys), side::OWN, 0};
  TH_TRY(for_blocks(s, [&](const block &b) {
    const scoring how = make_scoring(s, b, bias, scale, th_make_dropout_rule(p, seed, stream));
    TH_TRY(multiply(s, b, scores, queries, keys, b.rows, s.keys, s.features));
    TH_TRY(th_launch("attention_weights", make_weights, queries_of(s, b), THREADS, scores, statistics,
                     statistics + rows, how));
    return multiply(s, b, result + (size_t)how.first * s.values, weights, values, b.rows, s.values, s.keys);
  }));
  return copy_to(s, TH_OPERAND_Y, y, result, s.length, s.values);
}

int32_t th_attention_backward(float *dq, float *dk, float *dv, float *dscores, const float *dy, const float *statistics,
                              const float *q, const float *k, const float *v, const float *bias, const int32_t *shape,
                              double scale, double p, int32_t seed, int32_t stream) {
  const sizes s = read(shape);
  const int64_t rows = s.matrices * s.length, key_rows = s.matrices * s.keys;
  const th_workspace<float> scores(scores_floats(s)), given(scores_floats(s)), to_q(dq ? rows * s.features : 1),
      to_k(dk ? key_rows * s.features : 1), to_v(dv ? key_rows * s.values : 1);
  for (const auto *memory : {&scores, &given, &to_q, &to_k, &to_v}) TH_TRY(memory->status("attention"));
  const matrices qs = operand(s, TH_OPERAND_Q, q), ks = operand(s, TH_OPERAND_K, k), vs = operand(s, TH_OPERAND_V, v),
                 dys = operand(s, TH_OPERAND_DY, dy);
  const matrices weights = contiguous(s, scores, s.length, s.keys), gradient = contiguous(s, given, s.length, s.keys);
  TH_TRY(for_blocks(s, [&](const block &b) {
    const scoring how = make_scoring(s, b, bias, scale, th_make_dropout_rule(p, seed, stream));
    const size_t row = how.first, key_row = (size_t)b.index * s.keys;
    TH_TRY(multiply(s, b, scores, {qs, side::ROWS, 0}, {ks, side::MATRIX, 1}, b.rows, s.keys, s.features));
    TH_TRY(multiply(s, b, given, {dys, side::ROWS, 0}, {vs, side::MATRIX, 1}, b.rows, s.keys, s.values));
    TH_TRY(th_launch("attention_gradient", differentiate, queries_of(s, b), THREADS, scores, given, dscores, statistics,
                     statistics + rows, how));
    if (dv)
      TH_TRY(multiply(s, b, to_v + key_row * s.values, {weights, side::OWN, 1}, {dys, side::ROWS, 0}, s.keys, s.values,
                      b.rows, b.first > 0));
    if (dk)
      TH_TRY(multiply(s, b, to_k + key_row * s.features, {gradient, side::OWN, 1}, {qs, side::ROWS, 0}, s.keys,
                      s.features, b.rows, b.first > 0));
    if (!dq) return (int32_t)TH_STATUS_OK;
    return multiply(s, b, to_q + row * s.features, {gradient, side::OWN, 0}, {ks, side::MATRIX, 0}, b.rows, s.features,
                    s.keys);
  }));
  if (dq) TH_TRY(copy_to(s, TH_OPERAND_DQ, dq, to_q, s.length, s.features));
  if (dk) TH_TRY(copy_to(s, TH_OPERAND_DK, dk, to_k, s.keys, s.features));
  return dv ? copy_to(s, TH_OPERAND_DV, dv, to_v, s.keys, s.values) : (int32_t)TH_STATUS_OK;
}
