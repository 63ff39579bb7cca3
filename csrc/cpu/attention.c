/*
 * Attention, forward, and what both passes are made of. Keys and values are packed once for all queries of a task, as B
 * of the two products, and a block's scores stay in the L2 cache from the one to the other. Causal queries never meet
 * the panels of keys that come after their block.
 */
#include "attention.h"

static const double GRAIN = 2e5; /* multiplications worth a thread */

enum {
  SCORES = 64 * 1024,             /* of a block, 256 KB: they stay in L2 beside what is packed, … */
  MOST_TILES = VL < 16 ? 16 : 6,  /* … with no more tiles of rows, … */
  CAUSAL_TILES = VL < 16 ? 4 : 2, /* … nor more than these where it is causal, and has scores that nobody needs */
  FEW_PARTS = 4, /* of the queries of one of the batch, so that threads end together: backward, each has a dk and dv */
};

attention attention_read(const int32_t *shape, double scale, double p, int32_t seed, int32_t stream) {
  attention a = {.length = shape[0],
                 .keys = shape[1],
                 .features = shape[2],
                 .values = shape[3],
                 .causal = shape[4],
                 .bias_step = shape[5],
                 .ndim = shape[6],
                 .sizes = shape + 7,
                 .strides = shape + 7 + shape[6],
                 .batch = 1,
                 .scale = (float)scale,
                 .dropout = th_make_dropout_rule(p, seed, stream)};
  for (int d = 0; d < a.ndim; d++) a.batch *= a.sizes[d];
  a.score_row = apart(th_ceil_div(a.keys, NR) * NR);
  a.q_row = apart(a.features), a.value_row = apart(a.values);
  const ptrdiff_t tiles = th_max(1, th_min(a.causal ? CAUSAL_TILES : MOST_TILES, SCORES / a.score_row / MR));
  a.block = th_min(a.length, tiles * MR);
  a.blocks = th_ceil_div(a.length, tiles * MR);
  return a;
}

int attention_share(attention *a, ptrdiff_t products) {
  const int threads = th_threads_for((double)a->batch * (double)a->length * (double)a->keys * (double)products, GRAIN);
  ptrdiff_t wanted = 1;
  if (a->batch < threads) wanted = th_ceil_div(threads, a->batch);
  else if (a->batch % threads != 0) wanted = FEW_PARTS;
  a->parts = th_max(1, th_min(wanted, a->blocks));
  return (int)th_min(threads, a->batch * a->parts);
}

void pack_panels(float *own, th_panels p, const float *b, ptrdiff_t ldb, int transposed) {
  for (ptrdiff_t j = 0; j < p.n; j += NR)
    pack(own + p.at + j * p.k, transposed ? b + j * ldb : b + j, ldb, transposed, p.k, th_min(NR, p.n - j));
}

void multiply_panels(float *c, ptrdiff_t ldc, const float *a, ptrdiff_t lda, th_form form, const float *own,
                     th_panels b, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t k, int accumulate) {
  th_walk walk = {.outer = {1, 0, 0}, .middle = {1, 0, 0}, .ldc = ldc, .form = form};
  walk.a_row = form == TH_ROWS ? lda : 1, walk.inner.a = form == TH_ROWS ? 1 : lda;
  for (ptrdiff_t j = 0; rows > 0 && j < n; j += NR) {
    const float *const panel = own + b.at + j * b.k;
    walk.inner.b = panel_width(th_min(NR, b.n - j));
    for (ptrdiff_t k0 = 0; k0 == 0 || k0 < k; k0 += KC) {
      walk.inner.count = th_min(KC, k - k0);
      multiply_rows(&walk, a + k0 * walk.inner.a, panel + k0 * walk.inner.b, c + j, rows, th_min(NR, n - j), NULL,
                    accumulate || k0 > 0);
    }
  }
}

void copy_rows(float *out, ptrdiff_t row, const float *in, ptrdiff_t ld, ptrdiff_t rows, ptrdiff_t cols, float scale) {
  for (ptrdiff_t r = 0; r < rows; r++) {
#pragma omp simd
    for (ptrdiff_t i = 0; i < cols; i++) out[r * row + i] = scale * in[r * ld + i];
  }
}

static void add_bias(float *scores, const float *bias, ptrdiff_t step, ptrdiff_t n) {
  if (step == 1) {
    add_floats(scores, bias, n);
    return;
  }
#pragma omp simd
  for (ptrdiff_t j = 0; j < n; j++) scores[j] += *bias;
}

void attention_scores(const attention *a, const attention_block *b, float *scores, float *queries, const float *own,
                      th_panels keys) {
  const ptrdiff_t q_row = attention_row(a, TH_OPERAND_Q);
  const float *const q = a->q + attention_offset(a, TH_OPERAND_Q, b->index) + b->first * q_row;
  copy_rows(queries, a->q_row, q, q_row, b->rows, a->features, a->scale);
  multiply_panels(scores, a->score_row, queries, a->q_row, TH_ROWS, own, keys, b->rows, b->keys, a->features, 0);
  if (!a->bias) return;
  const ptrdiff_t row = attention_row(a, TH_OPERAND_BIAS);
  const float *const bias = a->bias + attention_offset(a, TH_OPERAND_BIAS, b->index) + b->first * row;
  for (ptrdiff_t r = 0; r < b->rows; r++)
    add_bias(scores + r * a->score_row, bias + r * row, a->bias_step, attention_keys(a, b->first + r));
}

void attention_drop(const attention *a, ptrdiff_t row, float *factors, ptrdiff_t n) {
  const uint32_t first = (uint32_t)(row * th_ceil_div(a->keys, 4));
  uint32_t words[4 * TH_PHILOX_LANES];
  for (ptrdiff_t j = 0; j < n; j += 4 * TH_PHILOX_LANES) {
    th_philox_lanes(words, first + (uint32_t)(j / 4), a->dropout.seed, a->dropout.stream);
    for (ptrdiff_t i = 0; i < th_min(4 * TH_PHILOX_LANES, n - j); i++)
      factors[j + i] = th_is_dropped(a->dropout, words[i]) ? 0 : a->dropout.scale;
  }
}

/* ------------------------------------------------------------------------------------------------- forward */

typedef struct {
  attention a;
  float *y, *statistics;
  th_panels keys, values;             /* kᵀ and v */
  ptrdiff_t queries, scores, factors; /* floats before them in a thread's work space */
} forward;

static void plan_space(forward *f) {
  attention *const a = &f->a;
  f->keys = (th_panels){a->features, a->keys, 0};
  f->values = (th_panels){a->keys, a->values, panels_floats(f->keys)};
  f->queries = f->values.at + panels_floats(f->values);
  f->scores = f->queries + a->block * a->q_row;
  f->factors = f->scores + a->block * a->score_row;
  a->own_floats = th_own_floats(f->factors + a->score_row);
}

/** A query's scores become its weights, dropped ones and those of keys that it does not see 0, and its statistics are kept. */
static void make_weights(const forward *f, const attention_block *b, ptrdiff_t r, float *x, float *factors) {
  const attention *const a = &f->a;
  const ptrdiff_t i = b->first + r, row = b->index * a->length + i, n = attention_keys(a, i);
  const float largest = th_row_max(x, n);
  const int sees = largest != -INFINITY; /* or NaN */
  const float shift = sees ? largest : 0;
  const double sum = th_row_exp(x, x, n, shift);
  zero_floats(x + n, b->keys - n);
  const float factor = sees ? (float)(1 / sum) : 0;
  f->statistics[row] = shift;
  f->statistics[a->batch * a->length + row] = factor;
  /* Before they are used, though y is shorter: large values would overflow. */
  if (a->dropout.threshold) {
    attention_drop(a, row, factors, n);
#pragma omp simd
    for (ptrdiff_t j = 0; j < n; j++) x[j] = factors[j] * (factor * x[j]);
  } else {
#pragma omp simd
    for (ptrdiff_t j = 0; j < n; j++) x[j] *= factor;
  }
}

static void attend(const forward *f, const attention_block *b, float *own) {
  const attention *const a = &f->a;
  const ptrdiff_t y_row = attention_row(a, TH_OPERAND_Y);
  float *const y = f->y + attention_offset(a, TH_OPERAND_Y, b->index) + b->first * y_row;
  float *const scores = own + f->scores;
  attention_scores(a, b, scores, own + f->queries, own, f->keys);
  for (ptrdiff_t r = 0; r < b->rows; r++) make_weights(f, b, r, scores + r * a->score_row, own + f->factors);
  multiply_panels(y, y_row, scores, a->score_row, TH_ROWS, own, f->values, b->rows, a->values, b->keys, 0);
}

static void run(int thread, int threads, void *context) {
  const forward *const f = context;
  const attention *const a = &f->a;
  float *const own = a->own + thread * a->own_floats;
  const ptrdiff_t tasks = a->batch * a->parts;
  for (ptrdiff_t t = th_split(tasks, thread, threads), packed = -1; t < th_split(tasks, thread + 1, threads); t++) {
    const ptrdiff_t index = t / a->parts;
    if (index != packed) {
      pack_panels(own, f->keys, a->k + attention_offset(a, TH_OPERAND_K, index), attention_row(a, TH_OPERAND_K), 1);
      pack_panels(own, f->values, a->v + attention_offset(a, TH_OPERAND_V, index), attention_row(a, TH_OPERAND_V), 0);
      packed = index;
    }
    for (ptrdiff_t block = t % a->parts; block < a->blocks; block += a->parts) {
      const attention_block b = attention_block_at(a, index, block);
      attend(f, &b, own);
    }
  }
}

int32_t th_attention(float *y, float *statistics, const float *q, const float *k, const float *v, const float *bias,
                     const int32_t *shape, double scale, double p, int32_t seed, int32_t stream) {
  forward f = {.a = attention_read(shape, scale, p, seed, stream), .y = y, .statistics = statistics};
  attention *const a = &f.a;
  a->q = q, a->k = k, a->v = v, a->bias = bias;
  if (a->batch == 0 || a->length == 0) return TH_STATUS_OK;
  const int threads = attention_share(a, a->features + a->values);
  plan_space(&f);
  a->own = th_work_space(0, threads * a->own_floats, "attention");
  if (!a->own) return TH_STATUS_OUT_OF_MEMORY;
  th_parallel(threads, run, &f);
  return TH_STATUS_OK;
}
