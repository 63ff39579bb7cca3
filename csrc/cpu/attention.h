/*
 * What both passes of attention share: where the matrices of each of the batch lie, and products with packed panels.
 *
 * A task is one of the batch, or a part of its queries, which is taken a block of rows at a time: the block's scores
 * against all keys are made, become weights in place, and are used up before the next block's are made. So the work space
 * grows with the length of a sequence, not with its square (Rabe and Staats, 2021; Dao et al., 2022).
 */
#ifndef TH_ATTENTION_H
#define TH_ATTENTION_H

#include "pack.h"
#include "parallel.h"
#include "philox.h"
#include "rows.h"

#include "../common/dropout.h"

typedef struct {
  ptrdiff_t length, keys, features, values;
  int causal;
  int ndim;
  const int32_t *sizes, *strides; /* of the batch; of the operands, in the batch and of their rows */
  ptrdiff_t batch;

  const float *q, *k, *v, *bias;
  const float *statistics;
  ptrdiff_t bias_step;
  float scale;
  th_dropout_rule dropout;

  ptrdiff_t parts, blocks, block;        /* parts of the queries of each of the batch; blocks of at most so many rows */
  ptrdiff_t score_row, q_row, value_row; /* floats from one row to the next in the work space */
  float *own;                            /* own_floats of each thread */
  ptrdiff_t own_floats;
} attention;

/** Where a matrix of an operand begins. */
TH_INLINE ptrdiff_t attention_offset(const attention *a, th_operand operand, ptrdiff_t index) {
  const int32_t *const strides = a->strides + operand * (a->ndim + 1);
  ptrdiff_t at = 0;
  for (int d = a->ndim - 1; d >= 0; d--) at += index % a->sizes[d] * strides[d], index /= a->sizes[d];
  return at;
}

TH_INLINE ptrdiff_t attention_row(const attention *a, th_operand operand) {
  return a->strides[operand * (a->ndim + 1) + a->ndim];
}

/** Keys that query i may attend to, but for the bias. */
TH_INLINE ptrdiff_t attention_keys(const attention *a, ptrdiff_t i) {
  return a->causal ? th_min(i + 1, a->keys) : a->keys;
}

/** A block's rows, the keys that the last of them sees, and which of the batch it is of. */
typedef struct {
  ptrdiff_t index, first, rows, keys;
} attention_block;

TH_INLINE attention_block attention_block_at(const attention *a, ptrdiff_t index, ptrdiff_t block) {
  attention_block b = {.index = index, .first = block * a->block};
  b.rows = th_min(a->block, a->length - b.first);
  b.keys = attention_keys(a, b.first + b.rows - 1);
  return b;
}

/** Reads the ABI's arguments and cuts the queries. */
#define attention_read TH_ISA_NAME(attention_read)
attention attention_read(const int32_t *shape, double scale, double p, int32_t seed, int32_t stream);

/** Threads worth using for so many products of queries, keys and features; sets `parts` for them. */
#define attention_share TH_ISA_NAME(attention_share)
int attention_share(attention *a, ptrdiff_t products);

/** B of a product, (k, n), in panels one after the other. */
typedef struct {
  ptrdiff_t k, n;
  ptrdiff_t at; /* floats before it in a thread's work space */
} th_panels;

/** Floats of all panels. */
TH_INLINE ptrdiff_t panels_floats(th_panels p) { return th_ceil_div(p.n, NR) * NR * p.k; }

/** Packs b, or one that is stored transposed. */
#define pack_panels TH_ISA_NAME(pack_panels)
void pack_panels(float *own, th_panels p, const float *b, ptrdiff_t ldb, int transposed);

/** c (rows, n) = or, with `accumulate`, += a (rows, k) · the first k rows and n columns of b. TH_COLUMNS: a is stored
    transposed. */
#define multiply_panels TH_ISA_NAME(multiply_panels)
void multiply_panels(float *c, ptrdiff_t ldc, const float *a, ptrdiff_t lda, th_form form, const float *own,
                     th_panels b, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t k, int accumulate);

/** out (rows; `row` floats apart) = scale · in (rows, cols; `ld` apart). out may be in. */
#define copy_rows TH_ISA_NAME(copy_rows)
void copy_rows(float *out, ptrdiff_t row, const float *in, ptrdiff_t ld, ptrdiff_t rows, ptrdiff_t cols, float scale);

/** A block's scores, scale · q · kᵀ + bias, of the keys that each query sees; `queries` gets scale · q. */
#define attention_scores TH_ISA_NAME(attention_scores)
void attention_scores(const attention *a, const attention_block *b, float *scores, float *queries, const float *own,
                      th_panels keys);

/** What dropout multiplies the first n weights of a row of all of the batch's rows by. */
#define attention_drop TH_ISA_NAME(attention_drop)
void attention_drop(const attention *a, ptrdiff_t row, float *factors, ptrdiff_t n);

#endif
