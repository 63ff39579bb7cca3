/* The forward pass of a block: logits, the largest of each row, exponentials and their sums. */
#include "linear_cross_entropy.h"

#include "pack.h"
#include "rows.h"

#include <math.h>

typedef mask __attribute__((aligned(4), may_alias)) mask_in_memory;

static void copy_inputs(const th_head *h, const th_turn *t) {
  for (ptrdiff_t r = t->r0; r < t->r1; r++)
    copy_floats(h->inputs + r * h->x_row, h->x + (t->first + r) * h->features, h->features);
}

/** What maxima and where know of a row, brought up to date with `width` of its logits, from class `from` on. */
TH_INLINE void update_maximum(float *maximum, int32_t *where, const float *x, ptrdiff_t width, ptrdiff_t from) {
  vec max = vec_load(maximum);
  mask first = *(mask_in_memory *)where;
  for (ptrdiff_t j = 0; j < width; j += VL) {
    const vec v = vec_load(x + j);
    const mask larger = v > max;
    max = keep_where(larger, v) + drop_where(larger, max);
    first = (larger & (int32_t)(from + j)) | (~larger & first);
  }
  vec_store(maximum, max);
  *(mask_in_memory *)where = first;
}

/** The logits of the thread's panels, and the largest of each row by lane. */
static void make_logits(const th_head *h, const th_turn *t) {
  const ptrdiff_t runs = th_max(1, th_ceil_div(h->features, KC)), kc = th_ceil_div(h->features, runs);
  const ptrdiff_t tiles = th_ceil_div(t->n, MR);
  th_walk walk = {.outer = {1, 0, 0}, .middle = {1, 0, 0}, .a_row = h->x_row, .ldc = NR, .form = TH_ROWS};
  for (ptrdiff_t i = 0; i < t->n * VL; i++) t->maxima[i] = -INFINITY, t->where[i] = 0;

  for (ptrdiff_t p = t->p0; p < t->p1; p++) {
    const ptrdiff_t cols = columns(h, p), width = panel_width(cols), from = p * NR;
    float *const out = panel(h, p);
    pack(t->packed, weight_at(h, 0, from), h->weight_row, h->weight_transposed, h->features, cols);
    for (ptrdiff_t run = 0; run < runs; run++) {
      const ptrdiff_t k = run * kc;
      walk.inner = (th_loop){th_min(kc, h->features - k), 1, width};
      const th_ahead next = panel_ahead(weight_at(h, k, from + NR), h->weight_row, h->weight_transposed,
                                        walk.inner.count, p + 1 < t->p1 ? h->classes - from - NR : 0);
      for (ptrdiff_t tile = 0; tile < tiles; tile++) {
        const ptrdiff_t i = th_split(t->n, tile, tiles), rows = th_split(t->n, tile + 1, tiles) - i;
        fetch_ahead(&next, tile, tile + 1, tiles);
        multiply_tile(&walk, h->inputs + i * h->x_row + k, t->packed + k * width, out + i * NR, rows, width,
                      run == 0 ? h->start + from : NULL, run > 0);
      }
    }
    for (ptrdiff_t i = 0; i < t->n; i++)
      update_maximum(t->maxima + i * VL, t->where + i * VL, out + i * NR, width, from);
  }
}

/** The largest logit of each of the thread's rows, and what the loss has of the label's. */
static void find_maxima(const th_head *h, const th_turn *t) {
  for (ptrdiff_t r = t->r0; r < t->r1; r++) {
    const int32_t label = h->labels[t->first + r];
    float max = -INFINITY;
    int32_t largest = 0;
    for (int thread = 0; thread < t->threads; thread++) {
      const th_turn other = make_turn(h, t->first, thread, t->threads);
      for (int lane = 0; lane < VL; lane++) {
        const float value = other.maxima[r * VL + lane];
        const int32_t class = other.where[r * VL + lane] + lane;
        if (value > max || (value == max && class < largest)) max = value, largest = class;
      }
    }
    h->max[r] = max;
    h->loss[t->first + r] = (double)max - (double)*logit(h, r, label);
    h->correct[t->first + r] = largest == label;
  }
}

/** Each logit of the thread's panels becomes e, and their sums by lane. */
static void make_exponentials(const th_head *h, const th_turn *t) {
  for (ptrdiff_t i = 0; i < t->n; i++) vec_store(t->sums + i * VL, (vec){0});
  for (ptrdiff_t p = t->p0; p < t->p1; p++) {
    const ptrdiff_t width = panel_width(columns(h, p));
    for (ptrdiff_t i = 0; i < t->n; i++)
      for (ptrdiff_t j = 0; j < width; j += VL) {
        float *restrict const x = panel(h, p) + i * NR + j, *restrict const sum = t->sums + i * VL;
        const float max = h->max[i];
#pragma omp simd
        for (int lane = 0; lane < VL; lane++) {
          const float e = th_expf(x[lane] - max);
          x[lane] = e;
          sum[lane] += e;
        }
      }
  }
}

/** The loss and s of each of the thread's rows. */
static void finish_rows(const th_head *h, const th_turn *t) {
  const ptrdiff_t tiles = th_ceil_div(h->features, MR);
  for (ptrdiff_t r = t->r0; r < t->r1; r++) {
    double sum = 0;
    for (int thread = 0; thread < t->threads; thread++)
      sum += (double)vec_sum(vec_load(make_turn(h, t->first, thread, t->threads).sums + r * VL));
    h->loss[t->first + r] += log(sum);
    if (isnan(sum)) h->correct[t->first + r] = 0;
    h->scale[r] = (float)(1 / (sum * (double)h->rows));
    *logit(h, r, h->labels[t->first + r]) -= (float)sum;

    if (!h->dweight) continue;
    float *const x = t->packed;
    for (ptrdiff_t i = 0; i < h->features; i++) x[i] = h->scale[r] * h->inputs[r * h->x_row + i];
    for (ptrdiff_t tile = 0; tile < tiles; tile++) {
      const ptrdiff_t i = th_split(h->features, tile, tiles), count = th_split(h->features, tile + 1, tiles) - i;
      copy_floats(h->scaled + i * t->n + r * count, x + i, count);
    }
  }
}

void head_forward(const th_head *h, const th_turn *t) {
  copy_inputs(h, t);
#pragma omp barrier
  make_logits(h, t);
#pragma omp barrier
  find_maxima(h, t);
#pragma omp barrier
  make_exponentials(h, t);
#pragma omp barrier
  finish_rows(h, t);
}
