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
#include "pack.h"
#include "parallel.h"
#include "rows.h"

#include <math.h>

static const double GRAIN = 4e5; /* floating point operations worth a thread */

enum {
  BLOCK_FLOATS = 4 * 1024 * 1024, /* logits of a block: 16 MB at most, … */
  FEWEST_ROWS = 2 * MR,           /* … but of this many rows: each block packs the weight again */
  RUN = 12,                       /* panels summed in one run of K; all their rows should stay in the L2 cache */
};

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
} head;

typedef mask __attribute__((aligned(4), may_alias)) mask_in_memory;

/** What a thread does, and has, in a block of n rows from `first` on: panels p0 to p1, rows r0 to r1 of the block. */
typedef struct {
  int thread, threads;
  ptrdiff_t first, n, p0, p1, r0, r1;
  float *maxima, *sums; /* (block, VL): over the thread's panels, by lane */
  int32_t *where;       /* (block, VL): the first class, less the lane, with that maximum */
  float *dx;            /* (block, x_row): from the thread's classes */
  float *packed;        /* panels of the weight; a row of x */
} turn;

static turn make_turn(const head *h, ptrdiff_t first, int thread, int threads) {
  float *const own = h->own + thread * h->own_floats;
  turn t = {.thread = thread, .threads = threads, .first = first, .n = th_min(h->block, h->rows - first)};
  t.p0 = th_split(h->panels, thread, threads), t.p1 = th_split(h->panels, thread + 1, threads);
  t.r0 = th_split(t.n, thread, threads), t.r1 = th_split(t.n, thread + 1, threads);
  t.maxima = own, t.sums = own + h->block * VL, t.where = (int32_t *)(own + 2 * h->block * VL);
  t.dx = own + 3 * h->block * VL, t.packed = t.dx + h->block * h->x_row;
  return t;
}

static float *panel(const head *h, ptrdiff_t p) { return h->logits + p * h->block * NR; }

static ptrdiff_t columns(const head *h, ptrdiff_t p) { return th_min(NR, h->classes - p * NR); }

static const float *weight_at(const head *h, ptrdiff_t feature, ptrdiff_t class) {
  return h->weight_transposed ? h->weight + class * h->weight_row + feature
                              : h->weight + feature * h->weight_row + class;
}

static float *logit(const head *h, ptrdiff_t row, ptrdiff_t class) {
  return panel(h, class / NR) + row * NR + class % NR;
}

static void copy_inputs(const head *h, const turn *t) {
  for (ptrdiff_t r = t->r0; r < t->r1; r++)
    copy_floats(h->inputs + r * h->x_row, h->x + (t->first + r) * h->features, h->features);
}

/* ------------------------------------------------------------------------------------------------- forward */

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
static void make_logits(const head *h, const turn *t) {
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
static void find_maxima(const head *h, const turn *t) {
  for (ptrdiff_t r = t->r0; r < t->r1; r++) {
    const int32_t label = h->labels[t->first + r];
    float max = -INFINITY;
    int32_t largest = 0;
    for (int thread = 0; thread < t->threads; thread++) {
      const turn other = make_turn(h, t->first, thread, t->threads);
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
static void make_exponentials(const head *h, const turn *t) {
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
static void finish_rows(const head *h, const turn *t) {
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

/* ------------------------------------------------------------------------------------------------ backward */

/** Adds the block's share to the gradients of the weight and the bias, for the classes of panels p0 to p1. */
static void add_weight_gradient(const head *h, const turn *t, ptrdiff_t p0, ptrdiff_t p1) {
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
static void add_input_gradient(const head *h, const turn *t, ptrdiff_t p, ptrdiff_t p1) {
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
static void finish_input_gradient(const head *h, const turn *t) {
  for (ptrdiff_t r = t->r0; r < t->r1; r++) {
    float *const out = h->dx + (t->first + r) * h->features, *const sum = t->dx + r * h->x_row;
    for (int thread = 0; thread < t->threads; thread++)
      if (thread != t->thread)
        add_floats(sum, make_turn(h, t->first, thread, t->threads).dx + r * h->x_row, h->features);
    for (ptrdiff_t i = 0; i < h->features; i++) out[i] = h->scale[r] * sum[i];
  }
}

static void run(int thread, int threads, void *context) {
  const head *h = context;
  for (ptrdiff_t first = 0; first < h->rows; first += h->block) {
    const turn t = make_turn(h, first, thread, threads);
    copy_inputs(h, &t);
#pragma omp barrier
    make_logits(h, &t);
#pragma omp barrier
    find_maxima(h, &t);
#pragma omp barrier
    make_exponentials(h, &t);
#pragma omp barrier
    finish_rows(h, &t);
#pragma omp barrier
    for (ptrdiff_t p = t.p0; p < t.p1; p += RUN) { /* the second product finds the panels in the L2 cache */
      const ptrdiff_t end = th_min(p + RUN, t.p1);
      if (h->dweight || h->dbias) add_weight_gradient(h, &t, p, end);
      if (h->dx) add_input_gradient(h, &t, p, end);
    }
    if (h->dx) {
#pragma omp barrier
      finish_input_gradient(h, &t);
    }
  }
}

/** Cuts the rows into blocks and takes the work space; 0 when out of memory. */
static int prepare(head *h, int threads) {
  h->panels = th_ceil_div(h->classes, NR);
  const ptrdiff_t most = th_max(FEWEST_ROWS, th_min(KC, BLOCK_FLOATS / (h->panels * NR)));
  h->block = th_ceil_div(h->rows, th_ceil_div(h->rows, most));
  h->x_row = apart(h->features);
  const ptrdiff_t logits = h->panels * h->block * NR, inputs = h->block * h->x_row;
  const ptrdiff_t packed = th_max(h->features, KC) * NR;
  h->own_floats = th_own_floats(3 * h->block * VL + h->block * h->x_row + packed);

  const ptrdiff_t shared = logits + 2 * inputs + h->panels * NR + 2 * h->block + h->rows;
  float *at = th_work_space(0, th_own_floats(shared) + threads * h->own_floats, "linearCrossEntropy");
  h->loss = th_scratch(5, (size_t)h->rows * sizeof *h->loss);
  if (!at || !h->loss) return 0;
  h->own = at + th_own_floats(shared);
  h->logits = at, h->inputs = at += logits, h->scaled = at += inputs, h->start = at += inputs;
  h->max = at += h->panels * NR, h->scale = at += h->block, h->correct = at + h->block;
  for (ptrdiff_t i = 0; i < h->panels * NR; i++) h->start[i] = i >= h->classes ? -INFINITY : h->bias ? h->bias[i] : 0;
  return 1;
}

int32_t th_linear_cross_entropy(float *loss, float *correct, float *dx, float *dweight, float *dbias, const float *x,
                                const float *weight, const float *bias, const int32_t *labels, int32_t rows,
                                int32_t features, int32_t classes, int32_t weight_row, int32_t weight_transposed) {
  head h = {.rows = rows,
            .features = features,
            .classes = classes,
            .x = x,
            .weight = weight,
            .bias = bias,
            .labels = labels,
            .weight_row = weight_row,
            .weight_transposed = weight_transposed,
            .dx = dx,
            .dweight = dweight,
            .dbias = dbias};
  const int32_t status = th_check_labels(labels, rows, classes);
  if (status) return status;
  const int wanted = th_threads_for(2.0 * rows * features * classes, GRAIN);
  const int threads = (int)th_min(wanted, th_ceil_div(classes, NR));
  if (!prepare(&h, threads)) return TH_STATUS_OUT_OF_MEMORY;
  th_parallel(threads, run, &h);
  double total = 0, right = 0;
  for (ptrdiff_t r = 0; r < rows; r++) total += h.loss[r], right += (double)h.correct[r];
  *loss = (float)(total / rows);
  *correct = (float)right;
  return TH_STATUS_OK;
}
