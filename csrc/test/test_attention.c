/* Attention against double precision: strided operands, a bias, causal queries, dropout. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, OPERANDS = 9, SHAPE = 7 + BATCH + OPERANDS * (BATCH + 1) };

typedef struct {
  int batch[BATCH], length, keys, features, values, causal, has_bias;
  double p;
} draw;

/** A matrix for each of the batch, in rows that are apart: with `heads_inside`, the second batch axis within a row's memory. */
typedef struct {
  float *data;
  ptrdiff_t floats;
  int rows, cols;
  ptrdiff_t strides[BATCH], row;
} operand;

static operand make_operand(const draw *d, int rows, int cols, int heads_inside, uint64_t seed) {
  operand o = {.rows = rows, .cols = cols};
  const ptrdiff_t width = cols + 3;
  o.row = heads_inside ? width * d->batch[1] : width;
  o.strides[1] = heads_inside ? width : rows * width;
  o.strides[0] = (ptrdiff_t)d->batch[1] * rows * width;
  o.floats = d->batch[0] * o.strides[0];
  o.data = seed ? test_random(o.floats, seed) : test_nan(o.floats);
  return o;
}

static float *row_of(const operand *o, const draw *d, ptrdiff_t index, ptrdiff_t row) {
  return o->data + index / d->batch[1] * o->strides[0] + index % d->batch[1] * o->strides[1] + row * o->row;
}

static void describe(int32_t *shape, int at, const operand *o) {
  int32_t *const to = shape + 7 + BATCH + at * (BATCH + 1);
  for (int i = 0; i < BATCH; i++) to[i] = (int32_t)o->strides[i];
  to[BATCH] = (int32_t)o->row;
}

/** Checks every matrix of `actual` against the contiguous `expected`, and that nothing between the rows was written. */
static void compare(const draw *d, const operand *actual, const double *expected, const char *what) {
  const ptrdiff_t count = (ptrdiff_t)d->batch[0] * d->batch[1] * actual->rows * actual->cols;
  float *found = test_floats(count), *wanted = test_floats(count);
  ptrdiff_t n = 0, written = 0;
  for (ptrdiff_t index = 0; index < (ptrdiff_t)d->batch[0] * d->batch[1]; index++)
    for (int r = 0; r < actual->rows; r++)
      for (int c = 0; c < actual->cols; c++, n++)
        found[n] = row_of(actual, d, index, r)[c], wanted[n] = (float)expected[n];
  for (ptrdiff_t i = 0; i < actual->floats; i++) written += !isnan(actual->data[i]);
  check_close(found, wanted, count, 2e-5, "%s: batch %d x %d, %d queries, %d keys, %d features, %d values, causal %d",
              what, d->batch[0], d->batch[1], d->length, d->keys, d->features, d->values, d->causal);
  check(written == count, "%s: %td floats written instead of %td", what, written, count);
  free(found), free(wanted);
}

/** What dropout multiplies each weight by, seen through values that are the identity. */
static float *read_dropout(const draw *d, int32_t seed) {
  const draw plain = {{d->batch[0], d->batch[1]}, d->length, d->keys, 1, d->keys, 0, 0, d->p};
  operand q = make_operand(&plain, d->length, 1, 0, 1), k = make_operand(&plain, d->keys, 1, 0, 2);
  operand v = make_operand(&plain, d->keys, d->keys, 0, 3), y = make_operand(&plain, d->length, d->keys, 0, 0);
  const ptrdiff_t matrices = (ptrdiff_t)d->batch[0] * d->batch[1];
  memset(q.data, 0, sizeof(float) * (size_t)q.floats), memset(v.data, 0, sizeof(float) * (size_t)v.floats);
  for (ptrdiff_t m = 0; m < matrices; m++)
    for (int j = 0; j < d->keys; j++) row_of(&v, d, m, j)[j] = (float)d->keys;
  int32_t shape[SHAPE] = {d->length, d->keys, 1, d->keys, 0, 0, BATCH, d->batch[0], d->batch[1]};
  describe(shape, TH_OPERAND_Q, &q), describe(shape, TH_OPERAND_K, &k);
  describe(shape, TH_OPERAND_V, &v), describe(shape, TH_OPERAND_Y, &y);
  float *statistics = test_nan(2 * matrices * d->length), *kept = test_floats(matrices * d->length * d->keys);
  th_attention(y.data, statistics, q.data, k.data, v.data, NULL, shape, 1, d->p, seed, 7);
  for (ptrdiff_t m = 0, n = 0; m < matrices; m++)
    for (int i = 0; i < d->length; i++)
      for (int j = 0; j < d->keys; j++, n++) {
        const double factor = (double)row_of(&y, d, m, i)[j], scaled = 1 / (1 - d->p);
        check(factor == 0 || fabs(factor - scaled) < 1e-4, "a weight times %g, not 0 or %g", factor, scaled);
        kept[n] = factor == 0 ? 0 : (float)scaled;
      }
  free(q.data), free(k.data), free(v.data), free(y.data), free(statistics);
  return kept;
}

static void check_attention(const draw *d, int heads_inside, int32_t seed) {
  const ptrdiff_t matrices = (ptrdiff_t)d->batch[0] * d->batch[1], L = d->length, S = d->keys;
  operand q = make_operand(d, d->length, d->features, heads_inside, 1);
  operand k = make_operand(d, d->keys, d->features, !heads_inside, 2);
  operand v = make_operand(d, d->keys, d->values, heads_inside, 3);
  operand y = make_operand(d, d->length, d->values, heads_inside, 0), dy = make_operand(d, d->length, d->values, 0, 4);
  operand bias = make_operand(d, d->length, d->keys, 0, 5);
  operand dq = make_operand(d, d->length, d->features, heads_inside, 0);
  operand dk = make_operand(d, d->keys, d->features, 0, 0), dv = make_operand(d, d->keys, d->values, heads_inside, 0);
  int32_t shape[SHAPE] = {d->length, d->keys, d->features, d->values, d->causal, 1, BATCH, d->batch[0], d->batch[1]};
  const operand *all[OPERANDS] = {&q, &k, &v, &y, &bias, &dy, &dq, &dk, &dv};
  for (int i = 0; i < OPERANDS; i++) describe(shape, i, all[i]);
  if (d->has_bias && d->length > 0 && d->keys > 0) /* the first query attends to nothing */
    for (int j = 0; j < d->keys; j++) row_of(&bias, d, 0, 0)[j] = -INFINITY;

  float *const kept = d->p > 0 ? read_dropout(d, seed) : NULL;
  float *statistics = test_nan(2 * matrices * L), *dscores = test_nan(matrices * L * S);
  const float *const added = d->has_bias ? bias.data : NULL;
  const double scale = 0.7;
  check(th_attention(y.data, statistics, q.data, k.data, v.data, added, shape, scale, d->p, seed, 7) == TH_STATUS_OK,
        "status");
  check(th_attention_backward(dq.data, dk.data, dv.data, dscores, dy.data, statistics, q.data, k.data, v.data, added,
                              shape, scale, d->p, seed, 7) == TH_STATUS_OK,
        "status");

  double *ys = calloc((size_t)(matrices * L * d->values + 1), sizeof *ys);
  double *dqs = calloc((size_t)(matrices * L * d->features + 1), sizeof *dqs);
  double *dks = calloc((size_t)(matrices * S * d->features + 1), sizeof *dks);
  double *dvs = calloc((size_t)(matrices * S * d->values + 1), sizeof *dvs);
  double *w = calloc((size_t)S + 1, sizeof *w), *g = calloc((size_t)S + 1, sizeof *g);
  float *scores = test_floats(matrices * L * S);
  for (ptrdiff_t m = 0; m < matrices; m++)
    for (ptrdiff_t i = 0; i < L; i++) {
      const ptrdiff_t row = m * L + i, seen = d->causal && i + 1 < S ? i + 1 : S;
      double max = -INFINITY, sum = 0, mean = 0;
      for (ptrdiff_t j = 0; j < seen; j++) {
        w[j] = added ? (double)row_of(&bias, d, m, i)[j] : 0;
        for (int e = 0; e < d->features; e++)
          w[j] += scale * (double)row_of(&q, d, m, i)[e] * (double)row_of(&k, d, m, j)[e];
        max = fmax(max, w[j]);
      }
      for (ptrdiff_t j = 0; j < seen; j++) w[j] = max == -INFINITY ? 0 : exp(w[j] - max), sum += w[j];
      for (ptrdiff_t j = 0; j < seen; j++) {
        const double factor = kept ? (double)kept[row * S + j] : 1;
        w[j] = sum > 0 ? w[j] / sum : 0, g[j] = 0;
        for (int e = 0; e < d->values; e++) {
          const double to_y = (double)row_of(&dy, d, m, i)[e], value = (double)row_of(&v, d, m, j)[e];
          ys[row * d->values + e] += factor * w[j] * value;
          dvs[(m * S + j) * d->values + e] += factor * w[j] * to_y;
          g[j] += factor * to_y * value;
        }
        mean += w[j] * g[j];
      }
      for (ptrdiff_t j = 0; j < S; j++) {
        const double gradient = j < seen ? w[j] * (g[j] - mean) : 0;
        scores[row * S + j] = (float)gradient;
        for (int e = 0; e < d->features; e++) {
          dqs[row * d->features + e] += scale * gradient * (double)row_of(&k, d, m, j)[e];
          dks[(m * S + j) * d->features + e] += scale * gradient * (double)row_of(&q, d, m, i)[e];
        }
      }
    }
  compare(d, &y, ys, "attention");
  compare(d, &dq, dqs, "the queries' gradient");
  compare(d, &dk, dks, "the keys' gradient");
  compare(d, &dv, dvs, "the values' gradient");
  check_close(dscores, scores, matrices * L * S, 2e-5, "the bias' gradient");

  /* Alone, a gradient is the same. */
  operand alone = make_operand(d, d->keys, d->features, 0, 0);
  th_attention_backward(NULL, alone.data, NULL, NULL, dy.data, statistics, q.data, k.data, v.data, added, shape, scale,
                        d->p, seed, 7);
  compare(d, &alone, dks, "the keys' gradient alone");
  for (int i = 0; i < OPERANDS; i++) free(all[i]->data);
  free(alone.data), free(kept), free(statistics), free(dscores), free(scores);
  free(ys), free(dqs), free(dks), free(dvs), free(w), free(g);
}

TEST_SUITE(attention_any) {
  uint64_t state = 3;
  for (int i = 0; i < 12 * test_draws; i++) {
    const draw d = {{test_pick(&state, 1, 2), test_pick(&state, 1, 3)},
                    test_pick(&state, 1, 130),
                    test_pick(&state, 1, 150),
                    test_pick(&state, 1, 70),
                    test_pick(&state, 1, 70),
                    test_pick(&state, 0, 1),
                    test_pick(&state, 0, 1),
                    test_pick(&state, 0, 2) == 2 ? 0.3 : 0};
    check_attention(&d, test_pick(&state, 0, 1), i);
  }
}

TEST_SUITE(attention) {
  static const draw draws[] = {
      {{1, 1}, 1, 1, 1, 1, 1, 0, 0},       {{2, 2}, 0, 3, 2, 2, 1, 1, 0}, {{2, 2}, 3, 0, 2, 2, 0, 1, 0},
      {{1, 0}, 3, 3, 2, 2, 0, 0, 0},       {{1, 2}, 3, 5, 0, 2, 0, 1, 0}, {{1, 2}, 3, 5, 2, 0, 1, 0, 0.5},
      {{1, 1}, 300, 900, 16, 33, 1, 0, 0}, /* K in several runs, and few queries in a block */
      {{3, 1}, 200, 200, 64, 64, 1, 0, 0}, {{1, 1}, 9, 5, 3, 3, 1, 1, 1},
  };
  for (size_t i = 0; i < sizeof draws / sizeof *draws; i++) check_attention(&draws[i], i % 2, (int32_t)i);
}
