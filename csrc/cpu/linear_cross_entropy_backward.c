/* The backward pass of a block: two products of what the forward pass left in place of the logits. */
#include "linear_cross_entropy.h"

#include "pack.h"
#include "rows.h"

enum { RUN = 12 }; /* panels summed in one run of K; all their rows should stay in the L2 cache */

/** Adds the block's share to the gradients of the weight and the bias, for the classes of panels p0 to p1. */
static void add_weight_gradient(const th_head *h, const th_turn *t, ptrdiff_t p0, ptrdiff_t p1) {
  const ptrdiff_t tiles = h->dweight ? th_ceil_div(h->features, MR) : 0;
  th_walk walk = {.outer = {1, 0, 0}, .middle = {1, 0, 0}, .a_row = 1, .ldc = h->classes, .form = TH_COLUMNS};
  for (ptrdiff_t p = p0; p < p1; p++) {
    const ptrdiff_t cols = columns(h, p);
    const float *const g = panel(h, p);
    for (ptrdiff_t tile = 0; tile < tiles; tile++) {
      const ptrdiff_t i = th_split(h->features, tile, tiles), rows = th_split(h->features, tile + 1, tiles) - i;
      walk.inner = (th_loop){t->n, rows, NR};
      multiply_tile(&walk, h->scaled + i * t->n, g, h->dweight + i * h->classes + p * NR, rows, cols, NULL,
                    t->first > 0);
    }
    for (ptrdiff_t j = 0; h->dbias && j < cols; j += VL) {
      const ptrdiff_t n = th_min(VL, cols - j);
      float *const out = h->dbias + p * NR + j;
      vec sum = {0}; /* the block's by itself: a sum over all rows in one float would lose digits */
      for (ptrdiff_t i = 0; i < t->n; i++) sum += h->scale[i] * vec_load(g + i * NR + j);
      vec_store_part(out, t->first > 0 ? vec_load_part(out, n) + sum : sum, n);
    }
  }
}

/** Adds to the gradient of x, but for s, what the classes of panels p to p1 give: one run of K. */
static void add_input_gradient(const th_head *h, const th_turn *t, ptrdiff_t p, ptrdiff_t p1) {
  const ptrdiff_t tiles = th_ceil_div(t->n, MR), from = p * NR;
  const ptrdiff_t k = th_min(h->classes, p1 * NR) - from, full = k / NR, rest = k % NR;
  for (ptrdiff_t j = 0; j < h->features; j += NR) {
    const ptrdiff_t cols = th_min(NR, h->features - j), width = panel_width(cols);
    pack(t->packed, weight_at(h, j, from), h->weight_row, !h->weight_transposed, k, cols);
    th_walk walk = {.outer = {1, 0, 0}, .a_row = NR, .ldc = h->x_row, .form = TH_ROWS};
    const th_ahead next =
        panel_ahead(weight_at(h, j + NR, from), h->weight_row, !h->weight_transposed, k, h->features - j - NR);
    for (ptrdiff_t tile = 0; tile < tiles; tile++) {
      const ptrdiff_t i = th_split(t->n, tile, tiles), rows = th_split(t->n, tile + 1, tiles) - i;
      float *const out = t->dx + i * h->x_row + j;
      fetch_ahead(&next, tile, tile + 1, tiles);
      if (full > 0) {
        walk.inner = (th_loop){NR, 1, width}, walk.middle = (th_loop){full, h->block * NR, NR * width};
        multiply_tile(&walk, panel(h, p) + i * NR, t->packed, out, rows, cols, NULL, p > t->p0);
      }
      if (rest > 0) {
        walk.inner = (th_loop){rest, 1, width}, walk.middle = (th_loop){1, 0, 0};
        multiply_tile(&walk, panel(h, p + full) + i * NR, t->packed + full * NR * width, out, rows, cols, NULL,
                      full > 0 || p > t->p0);
      }
    }
  }
}

/** dx of the thread's rows: s times the sum of what all threads have. */
static void finish_input_gradient(const th_head *h, const th_turn *t) {
  for (ptrdiff_t r = t->r0; r < t->r1; r++) {
    float *const out = h->dx + (t->first + r) * h->features, *const sum = t->dx + r * h->x_row;
    for (int thread = 0; thread < t->threads; thread++)
      if (thread != t->thread)
        add_floats(sum, make_turn(h, t->first, thread, t->threads).dx + r * h->x_row, h->features);
    for (ptrdiff_t i = 0; i < h->features; i++) out[i] = h->scale[r] * sum[i];
  }
}

void head_backward(const th_head *h, const th_turn *t) {
  for (ptrdiff_t p = t->p0; p < t->p1; p += RUN) { /* the second product finds the panels in the L2 cache */
    const ptrdiff_t end = th_min(p + RUN, t->p1);
    if (h->dweight || h->dbias) add_weight_gradient(h, t, p, end);
    if (h->dx) add_input_gradient(h, t, p, end);
  }
  if (h->dx) {
#pragma omp barrier
    finish_input_gradient(h, t);
  }
}
