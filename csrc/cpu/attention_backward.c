/*
 * The gradients of attention. A block's scores are made again, and with the statistics that the forward pass kept they become
 * its weights, to the bit. With w the weights after dropout, and g = dy · vᵀ after dropout,
 *
 *   dv += wᵀ · dy,   dscores = weight · (g - Σ weight · g),   dq = scale · dscores · k,   dk += dscoresᵀ · (scale · q).
 *
 * Where several tasks share a matrix of keys, each but the first sums its dk and dv apart, and they are added in order.
 */
#include "attention.h"

typedef struct {
  attention a;
  const float *dy;
  float *dq, *dk, *dv, *dscores;

  th_panels keys, values;                           /* kᵀ and vᵀ */
  th_panels keys_as_rows;                           /* k */
  th_panels queries_as_rows, dy_as_rows;            /* of a block: scale · q and dy */
  ptrdiff_t queries, block_dy, scores, given, kept; /* floats before them in a thread's work space */

  float *sums; /* of the tasks after the first of a matrix: (batch, parts - 1, dk and dv) */
  ptrdiff_t sums_part;
} backward;

/** A matrix that a task adds to. */
typedef struct {
  float *data;
  ptrdiff_t row;
} target;

static void plan_space(backward *w) {
  attention *const a = &w->a;
  w->keys = (th_panels){a->features, a->keys, 0};
  w->values = (th_panels){a->values, a->keys, panels_floats(w->keys)};
  w->keys_as_rows = (th_panels){a->keys, a->features, w->values.at + panels_floats(w->values)};
  w->queries_as_rows = (th_panels){a->block, a->features, w->keys_as_rows.at + panels_floats(w->keys_as_rows)};
  w->dy_as_rows = (th_panels){a->block, a->values, w->queries_as_rows.at + panels_floats(w->queries_as_rows)};
  w->queries = w->dy_as_rows.at + panels_floats(w->dy_as_rows);
  w->block_dy = w->queries + a->block * a->q_row;
  w->scores = w->block_dy + a->block * a->value_row;
  w->given = w->scores + a->block * a->score_row;
  w->kept = w->given + a->block * a->score_row;
  a->own_floats = th_own_floats(w->kept + a->score_row);
}

/** What a task adds to dk, or to dv: the matrix itself, or its own. */
static target target_of(const backward *w, th_operand operand, ptrdiff_t index, ptrdiff_t part) {
  const attention *const a = &w->a;
  const int of_keys = operand == TH_OPERAND_DK;
  if (part == 0)
    return (target){(of_keys ? w->dk : w->dv) + attention_offset(a, operand, index), attention_row(a, operand)};
  float *const sums = w->sums + (index * (a->parts - 1) + part - 1) * w->sums_part;
  return of_keys ? (target){sums, a->features} : (target){sums + a->keys * a->features, a->values};
}

/** A query's scores become w and what it is given, g, the gradient of its scores; both 0 for keys that it does not see. */
static void differentiate(const backward *w, const attention_block *b, ptrdiff_t r, float *own) {
  const attention *const a = &w->a;
  const ptrdiff_t i = b->first + r, row = b->index * a->length + i, n = attention_keys(a, i);
  const float shift = a->statistics[row], factor = a->statistics[a->batch * a->length + row];
  float *const x = own + w->scores + r * a->score_row, *const g = own + w->given + r * a->score_row;
  float mean = 0;
  if (a->dropout.threshold) {
    float *const kept = own + w->kept;
    attention_drop(a, row, kept, n);
#pragma omp simd reduction(+ : mean)
    for (ptrdiff_t j = 0; j < n; j++) {
      const float weight = factor * th_expf(x[j] - shift), given = kept[j] * g[j];
      x[j] = kept[j] * weight;
      kept[j] = weight;
      g[j] = given;
      mean += weight * given;
    }
#pragma omp simd
    for (ptrdiff_t j = 0; j < n; j++) g[j] = kept[j] * (g[j] - mean);
  } else {
#pragma omp simd reduction(+ : mean)
    for (ptrdiff_t j = 0; j < n; j++) {
      const float weight = factor * th_expf(x[j] - shift);
      x[j] = weight;
      mean += weight * g[j];
    }
#pragma omp simd
    for (ptrdiff_t j = 0; j < n; j++) g[j] = x[j] * (g[j] - mean);
  }
  zero_floats(x + n, b->keys - n);
  zero_floats(g + n, b->keys - n);
  if (!w->dscores) return;
  copy_floats(w->dscores + row * a->keys, g, n);
  zero_floats(w->dscores + row * a->keys + n, a->keys - n);
}

static void differentiate_block(const backward *w, const attention_block *b, target dk, target dv, float *own) {
  const attention *const a = &w->a;
  float *const scores = own + w->scores, *const given = own + w->given, *const dy = own + w->block_dy;
  const ptrdiff_t dy_row = attention_row(a, TH_OPERAND_DY), dq_row = attention_row(a, TH_OPERAND_DQ);
  attention_scores(a, b, scores, own + w->queries, own, w->keys);
  copy_rows(dy, a->value_row, w->dy + attention_offset(a, TH_OPERAND_DY, b->index) + b->first * dy_row, dy_row, b->rows,
            a->values, 1);
  multiply_panels(given, a->score_row, dy, a->value_row, TH_ROWS, own, w->values, b->rows, b->keys, a->values, 0);
  for (ptrdiff_t r = 0; r < b->rows; r++) differentiate(w, b, r, own);

  if (w->dv) {
    const th_panels rows = {b->rows, a->values, w->dy_as_rows.at};
    pack_panels(own, rows, dy, a->value_row, 0);
    multiply_panels(dv.data, dv.row, scores, a->score_row, TH_COLUMNS, own, rows, b->keys, a->values, b->rows, 1);
  }
  if (w->dk) {
    const th_panels rows = {b->rows, a->features, w->queries_as_rows.at};
    pack_panels(own, rows, own + w->queries, a->q_row, 0);
    multiply_panels(dk.data, dk.row, given, a->score_row, TH_COLUMNS, own, rows, b->keys, a->features, b->rows, 1);
  }
  if (w->dq) {
    float *const dq = w->dq + attention_offset(a, TH_OPERAND_DQ, b->index) + b->first * dq_row;
    multiply_panels(dq, dq_row, given, a->score_row, TH_ROWS, own, w->keys_as_rows, b->rows, a->features, b->keys, 0);
    copy_rows(dq, dq_row, dq, dq_row, b->rows, a->features, a->scale);
  }
}

static void zero_rows(target t, ptrdiff_t rows, ptrdiff_t cols) {
  for (ptrdiff_t r = 0; r < rows; r++) zero_floats(t.data + r * t.row, cols);
}

static void run(int thread, int threads, void *context) {
  const backward *const w = context;
  const attention *const a = &w->a;
  float *const own = a->own + thread * a->own_floats;
  const ptrdiff_t tasks = a->batch * a->parts;
  for (ptrdiff_t t = th_split(tasks, thread, threads), packed = -1; t < th_split(tasks, thread + 1, threads); t++) {
    const ptrdiff_t index = t / a->parts, part = t % a->parts;
    if (index != packed) {
      const float *const k = a->k + attention_offset(a, TH_OPERAND_K, index);
      const float *const v = a->v + attention_offset(a, TH_OPERAND_V, index);
      pack_panels(own, w->keys, k, attention_row(a, TH_OPERAND_K), 1);
      pack_panels(own, w->values, v, attention_row(a, TH_OPERAND_V), 1);
      if (w->dq) pack_panels(own, w->keys_as_rows, k, attention_row(a, TH_OPERAND_K), 0);
      packed = index;
    }
    target dk = {0}, dv = {0};
    if (w->dk) dk = target_of(w, TH_OPERAND_DK, index, part), zero_rows(dk, a->keys, a->features);
    if (w->dv) dv = target_of(w, TH_OPERAND_DV, index, part), zero_rows(dv, a->keys, a->values);
    for (ptrdiff_t block = part; block < a->blocks; block += a->parts) {
      const attention_block b = attention_block_at(a, index, block);
      differentiate_block(w, &b, dk, dv, own);
    }
  }
}

static void add_sums(const backward *w, th_operand operand, ptrdiff_t index, ptrdiff_t cols) {
  const target out = target_of(w, operand, index, 0);
  for (ptrdiff_t part = 1; part < w->a.parts; part++) {
    const target sum = target_of(w, operand, index, part);
    for (ptrdiff_t r = 0; r < w->a.keys; r++) add_floats(out.data + r * out.row, sum.data + r * sum.row, cols);
  }
}

static void add_parts(int thread, int threads, void *context) {
  const backward *const w = context;
  const ptrdiff_t batch = w->a.batch;
  for (ptrdiff_t i = th_split(batch, thread, threads); i < th_split(batch, thread + 1, threads); i++) {
    if (w->dk) add_sums(w, TH_OPERAND_DK, i, w->a.features);
    if (w->dv) add_sums(w, TH_OPERAND_DV, i, w->a.values);
  }
}

int32_t th_attention_backward(float *dq, float *dk, float *dv, float *dscores, const float *dy, const float *statistics,
                              const float *q, const float *k, const float *v, const float *bias, const int32_t *shape,
                              double scale, double p, int32_t seed, int32_t stream) {
  backward w = {.a = attention_read(shape, scale, p, seed, stream), .dy = dy, .dq = dq, .dk = dk, .dv = dv};
  attention *const a = &w.a;
  a->q = q, a->k = k, a->v = v, a->bias = bias, a->statistics = statistics;
  w.dscores = dscores;
  if (a->batch == 0) return TH_STATUS_OK;
  const int threads = attention_share(a, 3 * a->features + 2 * a->values);
  plan_space(&w);
  w.sums_part = th_own_floats(a->keys * (a->features + a->values));
  const ptrdiff_t sums = dk || dv ? a->batch * (a->parts - 1) * w.sums_part : 0;
  a->own = th_work_space(0, threads * a->own_floats + sums, "attention");
  if (!a->own) return TH_STATUS_OUT_OF_MEMORY;
  w.sums = a->own + threads * a->own_floats;
  th_parallel(threads, run, &w);
  if (a->parts > 1) th_parallel(threads, add_parts, &w);
  return TH_STATUS_OK;
}
