/*
 * The steps of a sequence. Each thread owns some hidden units: it packs their columns of w_hh once, for all steps, and at
 * each step multiplies the state by them and applies the cell to the result while that is in its cache. A step needs the
 * state of all units, so a barrier separates the steps; nothing else is shared.
 */
#include "recurrent.h"

#include "microkernel.h"
#include "pack.h"
#include "parallel.h"

#include <string.h>

static const double GRAIN = 1.5e5; /* floating point operations of a step worth a thread: a barrier costs 0.2 µs */

enum {
  KC = 384, /* rows of a packed panel that stay in the L1 cache, as in gemm.c */
  SLOT_PANELS = 1,
  SLOT_ROWS = 2,
  SLOT_CARRY = 3,
  SLOT_BIAS = 4,
};

/** What the threads share. A panel has the columns of at most NR hidden units; there are `width` floats of panels a unit. */
typedef struct {
  th_layer *layer;
  float *panels, *rows;
  ptrdiff_t depth;   /* rows of the packed matrix */
  ptrdiff_t columns; /* panels side by side that a unit needs */
  ptrdiff_t row_stride, rows_part;
} job;

/** The hidden units of a thread: whole vectors, so that only the last panel is partly empty. */
static ptrdiff_t first_unit(const th_layer *l, int thread, int threads) {
  return th_min(l->hidden, VL * share(th_ceil_div(l->hidden, VL), thread, threads));
}

static float *panel_at(const job *w, ptrdiff_t unit) { return w->panels + unit * w->depth * w->columns; }

/** c (batch, cols; row stride ldc) = a (batch, depth) · panel, or += with `accumulate`. */
static void multiply_panel(const job *w, const float *a, ptrdiff_t lda, const float *panel, float *c, ptrdiff_t ldc,
                           ptrdiff_t cols, int accumulate) {
  const ptrdiff_t batch = w->layer->batch, width = panel_width(cols);
  const ptrdiff_t tiles = th_ceil_div(batch, tile_rows(cols)), runs = th_ceil_div(w->depth, KC);
  th_walk walk = {.outer = {1, 0, 0}, .middle = {1, 0, 0}, .a_row = lda, .ldc = ldc, .form = TH_ROWS};
  for (ptrdiff_t r = 0; r < runs; r++) {
    const ptrdiff_t k = share(w->depth, r, runs);
    walk.inner = (th_loop){share(w->depth, r + 1, runs) - k, 1, width};
    for (ptrdiff_t t = 0; t < tiles; t++) {
      const ptrdiff_t i = share(batch, t, tiles), end = share(batch, t + 1, tiles);
      multiply_tile(&walk, a + i * lda + k, panel + k * width, c + i * ldc, end - i, cols, NULL, accumulate || r > 0);
    }
  }
}

/** The rows of `a`, copied further apart if they would get in each other's way in the cache. */
static const float *spaced_rows(const job *w, const float *a, int thread, ptrdiff_t *stride) {
  if (w->row_stride == w->depth) return a;
  float *copy = w->rows + thread * w->rows_part;
  for (ptrdiff_t i = 0; i < w->layer->batch; i++) copy_floats(copy + i * w->row_stride, a + i * w->depth, w->depth);
  *stride = w->row_stride;
  return copy;
}

static int32_t run_steps(th_layer *l, ptrdiff_t depth, ptrdiff_t columns, th_task *task) {
  const double flops = 2.0 * (double)l->batch * (double)depth * (double)(columns * l->hidden);
  const int threads = (int)th_min(th_threads_for(flops, GRAIN), th_ceil_div(l->hidden, VL));
  job w = {.layer = l, .depth = depth, .columns = columns};
  w.row_stride = rows_collide(depth, th_min(l->batch, MR)) ? apart(depth) : depth;
  w.rows_part = w.row_stride == depth ? 0 : l->batch * w.row_stride;
  w.panels = th_work_space(SLOT_PANELS, th_ceil_div(l->hidden, VL) * VL * depth * columns, l->name);
  w.rows = th_work_space(SLOT_ROWS, threads * w.rows_part, l->name);
  if (!w.panels || !w.rows) return TH_STATUS_OUT_OF_MEMORY;
  th_parallel(threads, task, &w);
  return TH_STATUS_OK;
}

/* ------------------------------------------------------------------------------------------------- forward */

static void forward_steps(int thread, int threads, void *context) {
  const job *w = context;
  const th_layer *l = w->layer;
  const ptrdiff_t begin = first_unit(l, thread, threads), end = first_unit(l, thread + 1, threads);
  const ptrdiff_t ldg = l->gates * l->hidden, state = l->batch * l->hidden;

  for (ptrdiff_t j = begin; j < end; j += NR) {
    const ptrdiff_t cols = th_min(NR, end - j);
    for (ptrdiff_t g = 0; g < l->gates; g++)
      pack_panel(panel_at(w, j) + g * w->depth * panel_width(cols), l->w_hh + g * l->hidden + j, ldg, w->depth, cols);
  }
  for (ptrdiff_t t = 0; t < l->steps; t++) {
    ptrdiff_t lda = w->depth;
    const float *h = spaced_rows(w, l->states + t * state, thread, &lda);
    for (ptrdiff_t j = begin; j < end; j += NR) {
      const ptrdiff_t cols = th_min(NR, end - j);
      for (ptrdiff_t g = 0; g < l->gates; g++)
        multiply_panel(w, h, lda, panel_at(w, j) + g * w->depth * panel_width(cols),
                       l->gate + t * l->batch * ldg + g * l->hidden + j, ldg, cols, 1);
      l->cell(l, t, j, cols);
    }
#pragma omp barrier
  }
}

static int32_t product(float *c, const float *a, const float *b, const float *bias, ptrdiff_t m, ptrdiff_t n,
                       ptrdiff_t k, int a_transposed, int b_transposed) {
  const int32_t shape[] = {
      (int32_t)m,   (int32_t)n,   (int32_t)k, (int32_t)(a_transposed ? m : k), (int32_t)(b_transposed ? k : n),
      a_transposed, b_transposed, 0};
  return th_matmul(c, a, b, bias, shape);
}

/** The first row of a sequence of states: the given one, or zeros. */
static void start_from(float *first, const float *given, size_t floats) {
  if (given) memcpy(first, given, floats * sizeof *first);
  else memset(first, 0, floats * sizeof *first);
}

int32_t recurrent_forward(const th_layer *layer) {
  th_layer l = *layer;
  const ptrdiff_t columns = l.gates * l.hidden;
  float *bias = NULL;
  if (l.bias_ih) {
    bias = th_work_space(SLOT_BIAS, columns, l.name);
    if (!bias) return TH_STATUS_OUT_OF_MEMORY;
    for (ptrdiff_t i = 0; i < columns; i++) bias[i] = l.bias_ih[i] + l.bias_hh[i];
  }
  start_from(l.new_states, l.h0, (size_t)(l.batch * l.hidden));
  if (l.new_cells) start_from(l.new_cells, l.c0, (size_t)(l.batch * l.hidden));
  const int32_t status = product(l.gate, l.x, l.w_ih, bias, l.steps * l.batch, columns, l.inputs, 0, 0);
  return status || l.batch == 0 ? status : run_steps(&l, l.hidden, l.gates, forward_steps);
}

/* ------------------------------------------------------------------------------------------------ backward */

static void backward_steps(int thread, int threads, void *context) {
  const job *w = context;
  const th_layer *l = w->layer;
  const ptrdiff_t begin = first_unit(l, thread, threads), end = first_unit(l, thread + 1, threads);

  for (ptrdiff_t j = begin; j < end; j += NR)
    pack_panel_transposed(panel_at(w, j), l->w_hh + j * w->depth, w->depth, w->depth, th_min(NR, end - j));
  for (ptrdiff_t t = l->steps - 1; t >= (l->dh0 ? -1 : 0); t--) {
    const int has_next = t < l->steps - 1;
    ptrdiff_t ldg = w->depth;
    const float *next = has_next ? spaced_rows(w, l->gate + (t + 1) * l->batch * ldg, thread, &ldg) : NULL;
    float *dh = t < 0 ? l->dh0 : l->dh;
    for (ptrdiff_t j = begin; j < end; j += NR) {
      const ptrdiff_t cols = th_min(NR, end - j);
      if (has_next) multiply_panel(w, next, ldg, panel_at(w, j), dh + j, l->hidden, cols, 0);
      if (t >= 0) l->cell(l, t, j, cols);
    }
#pragma omp barrier
  }
}

/** sums (columns) of a (rows, columns) over the rows. */
static int32_t sum_rows(float *sums, const float *a, ptrdiff_t rows, ptrdiff_t columns) {
  const int32_t layout[] = {2, (int32_t)columns, (int32_t)rows, 1, (int32_t)columns};
  return th_reduce(sums, a, layout, 1, TH_REDUCE_SUM, TH_DTYPE_FLOAT32, 1);
}

int32_t recurrent_backward(th_layer *l) {
  const ptrdiff_t rows = l->steps * l->batch, columns = l->gates * l->hidden, state = l->batch * l->hidden;
  l->dh = th_work_space(SLOT_CARRY, 2 * state, l->name);
  if (!l->dh) return TH_STATUS_OUT_OF_MEMORY;
  l->dc = l->dh + state;
  start_from(l->dc, l->dc_last, (size_t)state);
  int32_t status = l->batch == 0 ? TH_STATUS_OK : run_steps(l, columns, 1, backward_steps);
  if (!status && l->dc0) memcpy(l->dc0, l->dc, (size_t)state * sizeof *l->dc0);
  if (!status && l->dx) status = product(l->dx, l->gate, l->w_ih, NULL, rows, l->inputs, columns, 0, 1);
  if (!status && l->dw_ih) status = product(l->dw_ih, l->x, l->gate, NULL, l->inputs, columns, rows, 1, 0);
  if (!status && l->dw_hh) status = product(l->dw_hh, l->states, l->gate, NULL, l->hidden, columns, rows, 1, 0);
  if (!status && l->dbias) status = sum_rows(l->dbias, l->gate, rows, columns);
  return status;
}
