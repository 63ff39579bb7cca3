/*
 * The steps of a sequence. The columns of w_hh are packed once for all steps, and the cell is applied to what a panel of
 * them gives while that is in the cache. Threads share the work in one of two ways:
 * - rows of the batch, as long as all of w_hh stays in the cache of each core: they never wait for each other;
 * - hidden units, when w_hh is large: each reads only its part of it, but needs the state of all units, so that a barrier
 *   separates the steps.
 */
#include "recurrent.h"

#include "microkernel.h"
#include "pack.h"
#include "parallel.h"

#include <string.h>

static const double GRAIN = 1.5e5; /* floating point operations of a step worth a thread: a barrier costs 0.2 µs */

enum {
  L2_FLOATS = 192 * 1024, /* of w_hh, that every thread may have in its cache: 768 KB */
  SLOT_PANELS = 1,
  SLOT_ROWS = 2,
  SLOT_CARRY = 3,
  SLOT_BIAS = 4,
};

/** What the threads share. A panel has the columns of at most NR hidden units; there are `columns` · depth floats a unit. */
typedef struct {
  const th_recurrent *layer;
  float *panels, *rows;
  ptrdiff_t depth;   /* rows of the packed matrix */
  ptrdiff_t columns; /* panels side by side that a unit needs */
  int splits_rows;
  ptrdiff_t row_stride; /* of the rows that are multiplied, once they are spaced */
} job;

static float *panel_at(const job *w, ptrdiff_t unit) { return w->panels + unit * w->depth * w->columns; }

/** The first of the hidden units of a thread, if they are shared out in pieces of `piece`. */
static ptrdiff_t first_unit(const th_recurrent *l, ptrdiff_t piece, int thread, int threads) {
  return th_min(l->hidden, piece * th_split(th_ceil_div(l->hidden, piece), thread, threads));
}

/** What a thread computes at each step, and, with `packs`, what it packs before. */
static th_part part_of(const job *w, int thread, int threads, int packs) {
  const th_recurrent *l = w->layer;
  th_part p = {0, l->batch, 0, l->hidden};
  if (w->splits_rows && !packs) {
    p.row = th_split(l->batch, thread, threads), p.row_end = th_split(l->batch, thread + 1, threads);
  } else {
    const ptrdiff_t piece = w->splits_rows ? NR : VL; /* of a panel that all threads use, or of one's own */
    p.unit = first_unit(l, piece, thread, threads), p.unit_end = first_unit(l, piece, thread + 1, threads);
  }
  return p;
}

/** The units of one panel. */
static th_part panel_of(const th_part *p, ptrdiff_t unit) {
  return (th_part){p->row, p->row_end, unit, th_min(unit + NR, p->unit_end)};
}

/** c (rows, cols; row stride ldc) = a (rows, depth) · panel + bias (cols; NULL for none), or += a · panel with `accumulate`. */
static void multiply_panel(const job *w, const float *a, ptrdiff_t lda, const float *panel, float *c, ptrdiff_t ldc,
                           ptrdiff_t rows, ptrdiff_t cols, const float *bias, int accumulate) {
  const ptrdiff_t width = panel_width(cols), runs = th_ceil_div(w->depth, KC);
  th_walk walk = {.outer = {1, 0, 0}, .middle = {1, 0, 0}, .a_row = lda, .ldc = ldc, .form = TH_ROWS};
  for (ptrdiff_t r = 0; r < runs; r++) {
    const ptrdiff_t k = th_split(w->depth, r, runs);
    walk.inner = (th_loop){th_split(w->depth, r + 1, runs) - k, 1, width};
    multiply_rows(&walk, a + k, panel + k * width, c, rows, cols, r > 0 ? NULL : bias, accumulate || r > 0);
  }
}

/** The rows of a part in `a` (batch, depth), copied further apart if they would get in each other's way in the cache. */
static const float *spaced_rows(const job *w, const float *a, const th_part *p, int thread) {
  a += p->row * w->depth;
  if (w->row_stride == w->depth) return a;
  const ptrdiff_t rows = p->row_end - p->row;
  float *copy = w->rows + (w->splits_rows ? p->row : thread * w->layer->batch) * w->row_stride;
  for (ptrdiff_t i = 0; i < rows; i++) copy_floats(copy + i * w->row_stride, a + i * w->depth, w->depth);
  return copy;
}

static int32_t run_steps(const th_recurrent *l, ptrdiff_t depth, ptrdiff_t columns, th_task *task) {
  const double flops = 2.0 * (double)l->batch * (double)depth * (double)(columns * l->hidden);
  int threads = th_threads_for(flops, GRAIN);
  job w = {.layer = l, .depth = depth, .columns = columns};
  w.splits_rows = depth * columns * l->hidden <= L2_FLOATS && l->batch >= 4 * threads;
  if (!w.splits_rows) threads = (int)th_min(threads, th_ceil_div(l->hidden, VL));
  w.row_stride = rows_collide(depth, th_min(l->batch, MR)) ? apart(depth) : depth;
  const ptrdiff_t copied = w.row_stride == depth ? 0 : (w.splits_rows ? 1 : threads) * l->batch * w.row_stride;
  w.panels = th_work_space(SLOT_PANELS, th_ceil_div(l->hidden, VL) * VL * depth * columns, l->name);
  w.rows = th_work_space(SLOT_ROWS, copied, l->name);
  if (!w.panels || !w.rows) return TH_STATUS_OUT_OF_MEMORY;
  th_parallel(threads, task, &w);
  return TH_STATUS_OK;
}

/* ------------------------------------------------------------------------------------------------- forward */

static void forward_steps(int thread, int threads, void *context) {
  const job *w = context;
  const th_recurrent *l = w->layer;
  const th_part mine = part_of(w, thread, threads, 0), packs = part_of(w, thread, threads, 1);
  const ptrdiff_t ldg = l->gates * l->hidden, rows = mine.row_end - mine.row;
  const ptrdiff_t added = l->product ? l->gates - 1 : l->gates; /* gates that the state's share is added to */
  const float *bias_last = l->bias_hh ? l->bias_hh + added * l->hidden : NULL;

  for (ptrdiff_t j = packs.unit; j < packs.unit_end; j += NR) {
    const ptrdiff_t cols = th_min(NR, packs.unit_end - j);
    for (ptrdiff_t g = 0; g < l->gates; g++)
      pack_panel(panel_at(w, j) + g * w->depth * panel_width(cols), l->w_hh + g * l->hidden + j, ldg, w->depth, cols);
  }
  if (w->splits_rows) {
#pragma omp barrier
  }
  for (ptrdiff_t t = 0; t < l->steps; t++) {
    const float *h = spaced_rows(w, l->states + t * l->batch * l->hidden, &mine, thread);
    float *gate = l->gate + (t * l->batch + mine.row) * ldg;
    for (ptrdiff_t j = mine.unit; j < mine.unit_end; j += NR) {
      const th_part panel = panel_of(&mine, j);
      const ptrdiff_t cols = panel.unit_end - j;
      const float *columns = panel_at(w, j);
      for (ptrdiff_t g = 0; g < added; g++, columns += w->depth * panel_width(cols))
        multiply_panel(w, h, w->row_stride, columns, gate + g * l->hidden + j, ldg, rows, cols, NULL, 1);
      if (l->product)
        multiply_panel(w, h, w->row_stride, columns, l->product + (t * l->batch + mine.row) * l->hidden + j, l->hidden,
                       rows, cols, bias_last ? bias_last + j : NULL, 0);
      l->cell(l, t, &panel);
    }
    if (!w->splits_rows) {
#pragma omp barrier
    }
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

int32_t recurrent_forward(const th_recurrent *l) {
  const ptrdiff_t columns = l->gates * l->hidden;
  float *bias = NULL;
  if (l->bias_ih) {
    bias = th_work_space(SLOT_BIAS, columns, l->name);
    if (!bias) return TH_STATUS_OUT_OF_MEMORY;
    const ptrdiff_t merged = l->product ? columns - l->hidden : columns; /* the rest of bias_hh is in the product */
    for (ptrdiff_t i = 0; i < columns; i++) bias[i] = l->bias_ih[i] + (i < merged ? l->bias_hh[i] : 0);
  }
  start_from(l->new_states, l->h0, (size_t)(l->batch * l->hidden));
  if (l->new_cells) start_from(l->new_cells, l->c0, (size_t)(l->batch * l->hidden));
  const int32_t status = product(l->gate, l->x, l->w_ih, bias, l->steps * l->batch, columns, l->inputs, 0, 0);
  return status || l->batch == 0 ? status : run_steps(l, l->hidden, l->gates, forward_steps);
}

/* ------------------------------------------------------------------------------------------------ backward */

static void backward_steps(int thread, int threads, void *context) {
  const job *w = context;
  const th_recurrent *l = w->layer;
  const th_part mine = part_of(w, thread, threads, 0), packs = part_of(w, thread, threads, 1);

  for (ptrdiff_t j = packs.unit; j < packs.unit_end; j += NR)
    pack_panel_transposed(panel_at(w, j), l->w_hh + j * w->depth, w->depth, w->depth, th_min(NR, packs.unit_end - j));
  if (w->splits_rows) {
#pragma omp barrier
  }
  for (ptrdiff_t t = l->steps - 1; t >= (l->dh0 ? -1 : 0); t--) {
    const int has_next = t < l->steps - 1;
    const float *next = has_next ? spaced_rows(w, l->gate + (t + 1) * l->batch * w->depth, &mine, thread) : NULL;
    float *dh = l->dh + mine.row * l->hidden;
    for (ptrdiff_t j = mine.unit; j < mine.unit_end; j += NR) {
      const th_part panel = panel_of(&mine, j);
      if (has_next)
        multiply_panel(w, next, w->row_stride, panel_at(w, j), dh + j, l->hidden, mine.row_end - mine.row,
                       panel.unit_end - j, NULL, l->product != NULL);
      if (t >= 0) l->cell(l, t, &panel);
    }
    if (!w->splits_rows) {
#pragma omp barrier
    }
  }
}

/** sums (columns) of a (rows, columns) over the rows. */
static int32_t sum_rows(float *sums, const float *a, ptrdiff_t rows, ptrdiff_t columns) {
  const int32_t layout[] = {2, (int32_t)columns, (int32_t)rows, 1, (int32_t)columns};
  return th_reduce(sums, a, layout, 1, TH_REDUCE_SUM, TH_DTYPE_FLOAT32, 1);
}

/** gate gets the gradient of the inputs' share of its last gate, in place of that of the state's. */
static int32_t take_product(const th_recurrent *l, ptrdiff_t rows) {
  const ptrdiff_t columns = l->gates * l->hidden;
  const int32_t layout[] = {2, (int32_t)rows, (int32_t)l->hidden, (int32_t)columns, 1, (int32_t)l->hidden, 1};
  return th_copy(l->gate + columns - l->hidden, l->product, layout);
}

int32_t recurrent_backward(th_recurrent *l) {
  const ptrdiff_t rows = l->steps * l->batch, columns = l->gates * l->hidden, state = l->batch * l->hidden;
  float *carry = th_work_space(SLOT_CARRY, 2 * state, l->name);
  if (!carry) return TH_STATUS_OUT_OF_MEMORY;
  l->dh = l->dh0 ? l->dh0 : carry;
  l->dc = carry + state;
  start_from(l->dc, l->dc_last, (size_t)state);
  int32_t status = l->batch == 0 ? TH_STATUS_OK : run_steps(l, columns, 1, backward_steps);
  if (!status && l->dc0) memcpy(l->dc0, l->dc, (size_t)state * sizeof *l->dc0);
  if (!status && l->dw_hh) status = product(l->dw_hh, l->states, l->gate, NULL, l->hidden, columns, rows, 1, 0);
  if (!status && l->dbias_hh) status = sum_rows(l->dbias_hh, l->gate, rows, columns);
  if (!status && l->product) status = take_product(l, rows);
  if (!status && l->dx) status = product(l->dx, l->gate, l->w_ih, NULL, rows, l->inputs, columns, 0, 1);
  if (!status && l->dw_ih) status = product(l->dw_ih, l->x, l->gate, NULL, l->inputs, columns, rows, 1, 0);
  if (!status && l->dbias) status = sum_rows(l->dbias, l->gate, rows, columns);
  return status;
}
