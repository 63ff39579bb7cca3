/*
 * A linear layer and the cross-entropy of its logits in one. Logits are made for a block of rows, become their own
 * gradient in place, and are used up before the next block's are made: a model with many classes, such as the words of a
 * language, never has all its logits at once, and those of a block stay in the L3 cache.
 *
 * Logits lie in panels: NR classes of all rows of the block, then the next NR. That is what the micro-kernel writes; for
 * the weight's gradient, xᵀ · logits, it is B, packed already; for that of x, logits · weightᵀ, the loops over K step from
 * panel to panel. Each thread has panels of its own in all passes; what is made for each row is shared out by rows.
 *
 * With e = exp(logit - max) and s = 1 / (rows · Σ e), the gradient of a row's logits is s · (e - onehot · Σ e). Only the
 * bracket is written; s goes to what is short, the row of x and that of its gradient.
 */
#ifndef TH_LINEAR_CROSS_ENTROPY_H
#define TH_LINEAR_CROSS_ENTROPY_H

#include "microkernel.h"

/** The call, and its work space. */
typedef struct {
  ptrdiff_t rows, features, classes;
  const float *x, *weight, *bias;
  const int32_t *labels;
  ptrdiff_t weight_row; /* floats from a row of the weight to the next */
  int weight_transposed;
  float *dx, *dweight, *dbias;

  ptrdiff_t block, panels; /* rows of a block, at most; panels of all classes */
  ptrdiff_t x_row;         /* floats from a row of `inputs` to the next */
  double *loss;            /* (rows) */
  float *logits;           /* (panels, block, NR) */
  float *inputs;           /* (block, x_row): rows of x, apart */
  float *scaled;           /* s · xᵀ in tiles of features: (block, features of the tile) each */
  float *start;            /* (panels · NR): the bias, and -infinity where there is no class */
  float *max, *scale;      /* (block): the largest logit; s */
  float *correct;          /* (rows): 1 where the first largest logit is the label's, else 0 */
  float *own;              /* own_floats of each thread */
  ptrdiff_t own_floats;
} th_head;

/** What a thread does, and has, in a block of n rows from `first` on: panels p0 to p1, rows r0 to r1 of the block. */
typedef struct {
  int thread, threads;
  ptrdiff_t first, n, p0, p1, r0, r1;
  float *maxima, *sums; /* (block, VL): over the thread's panels, by lane */
  int32_t *where;       /* (block, VL): the first class, less the lane, with that maximum */
  float *dx;            /* (block, x_row): from the thread's classes */
  float *packed;        /* panels of the weight; a row of x */
} th_turn;

TH_INLINE th_turn make_turn(const th_head *h, ptrdiff_t first, int thread, int threads) {
  float *const own = h->own + thread * h->own_floats;
  th_turn t = {.thread = thread, .threads = threads, .first = first, .n = th_min(h->block, h->rows - first)};
  t.p0 = th_split(h->panels, thread, threads), t.p1 = th_split(h->panels, thread + 1, threads);
  t.r0 = th_split(t.n, thread, threads), t.r1 = th_split(t.n, thread + 1, threads);
  t.maxima = own, t.sums = own + h->block * VL, t.where = (int32_t *)(own + 2 * h->block * VL);
  t.dx = own + 3 * h->block * VL, t.packed = t.dx + h->block * h->x_row;
  return t;
}

TH_INLINE float *panel(const th_head *h, ptrdiff_t p) { return h->logits + p * h->block * NR; }

TH_INLINE ptrdiff_t columns(const th_head *h, ptrdiff_t p) { return th_min(NR, h->classes - p * NR); }

TH_INLINE const float *weight_at(const th_head *h, ptrdiff_t feature, ptrdiff_t class) {
  return h->weight_transposed ? h->weight + class * h->weight_row + feature
                              : h->weight + feature * h->weight_row + class;
}

TH_INLINE float *logit(const th_head *h, ptrdiff_t row, ptrdiff_t class) {
  return panel(h, class / NR) + row * NR + class % NR;
}

/** The block's losses and hits, and the bracket in place of its logits. All threads of the team call both passes. */
#define head_forward TH_ISA_NAME(head_forward)
void head_forward(const th_head *h, const th_turn *t);

/** Adds the block's share to the gradients of the weight and the bias, and writes its rows of that of x. */
#define head_backward TH_ISA_NAME(head_backward)
void head_backward(const th_head *h, const th_turn *t);

#endif
