/*
 * Batch normalisation, the statistics and the result in one fork and join.
 *
 * Within a tile (see tiles.h) sums are floats, around the tile's own mean, so a large mean costs the variance nothing.
 * Tiles are added up as doubles, each thread's share by itself, and the shares in order: the result depends on the
 * number of threads but not on their timing. Then every thread normalises the rows that it has just read.
 */
#include "parallel.h"
#include "tiles.h"

#include <math.h>

static const double GRAIN = 12288; /* elements worth a thread */

/* ------------------------------------------------------------------------------------------- work space */

/** What one call needs; arrays by lane have the tiling's `padded` floats. */
typedef struct {
  th_tiling tiling;
  th_tile_operands operands;
  int relu;
  double *sums;           /* (parts, 2, padded): Σ (x - mean) and Σ (x - mean)², or Σ g and Σ g · (x - mean) */
  double *first, *second; /* (channels): their totals */
  float *mean, *scale, *bias; /* by lane: y = (x - mean) · scale + bias; before the mean is known, a number near it */
  float *constant, *slope;    /* by lane: dx = g · scale + (x - mean) · slope + constant */
} work;

static int make_work(work *w, ptrdiff_t rows, ptrdiff_t channels, th_tile_operands operands, int relu) {
  const th_tiling t = th_make_tiling(rows, channels, GRAIN);
  double *doubles = th_scratch(5, (size_t)(2 * t.parts * t.padded + 2 * channels) * sizeof *doubles);
  float *floats = th_scratch(6, (size_t)(5 * t.padded) * sizeof *floats);
  *w = (work){
      .tiling = t,
      .operands = operands,
      .relu = relu,
      .sums = doubles,
      .first = doubles + 2 * t.parts * t.padded,
      .second = doubles + 2 * t.parts * t.padded + channels,
      .mean = floats,
      .scale = floats + t.padded,
      .bias = floats + 2 * t.padded,
      .constant = floats + 3 * t.padded,
      .slope = floats + 4 * t.padded,
  };
  return doubles && floats;
}

/** Repeats the first `channels` elements of an array by lane up to its end. */
static void spread(const th_tiling *t, float *by_lane) {
  for (ptrdiff_t lane = t->channels; lane < t->padded; lane++) by_lane[lane] = by_lane[lane - t->channels];
}

static void set_transform(work *w, const float *mean, const float *istd, const float *weight, const float *bias) {
  const th_tiling *t = &w->tiling;
  for (ptrdiff_t c = 0; c < t->channels; c++) {
    w->mean[c] = mean[c];
    w->scale[c] = istd[c] * weight[c];
    w->bias[c] = bias[c];
  }
  spread(t, w->mean);
  spread(t, w->scale);
  spread(t, w->bias);
}

/* ------------------------------------------------------------------------------------------------- sums */

typedef struct {
  const work *w;
  double *first, *second; /* this part's, by lane */
} part_sums;

static void statistics_tile(const th_tile *t, void *context) {
  const part_sums *p = context;
  vec sum[VECTORS] = {{0}}, deviation[VECTORS] = {{0}}, square[VECTORS] = {{0}}, mean[VECTORS];
  for (ptrdiff_t r = 0; r < t->rows; r++) FOR_VECTORS(i) sum[i] += vec_load(t->x + r * t->stride + i * VL);
  FOR_VECTORS(i) mean[i] = sum[i] / (float)t->rows;
  for (ptrdiff_t r = 0; r < t->rows; r++) FOR_VECTORS(i) {
      const vec d = vec_load(t->x + r * t->stride + i * VL) - mean[i];
      deviation[i] += d;
      square[i] += d * d;
    }

  float m[LANES], d[LANES], q[LANES];
  FOR_VECTORS(i) vec_store(m + i * VL, mean[i]), vec_store(d + i * VL, deviation[i]), vec_store(q + i * VL, square[i]);
  double *first = p->first + t->lane, *second = p->second + t->lane;
  const float *shift = p->w->mean + t->lane;
  const double n = (double)t->rows;
  /* With d = x - m and s = m - shift: Σ (x - shift) = Σ d + n s, and Σ (x - shift)² = Σ d² + 2 s Σ d + n s². */
#pragma omp simd
  for (ptrdiff_t i = 0; i < t->lanes; i++) {
    const double si = (double)m[i] - (double)shift[i], di = (double)d[i];
    first[i] += di + n * si;
    second[i] += (double)q[i] + si * (2 * di + n * si);
  }
}

static void gradient_sums_tile(const th_tile *t, void *context) {
  const part_sums *p = context;
  const work *w = p->w;
  vec sum[VECTORS] = {{0}}, product[VECTORS] = {{0}}, mean[VECTORS];
  FOR_VECTORS(i) mean[i] = vec_load(w->mean + t->lane + i * VL);
  for (ptrdiff_t r = 0; r < t->rows; r++) FOR_VECTORS(i) {
      const ptrdiff_t at = r * t->stride + i * VL, lane = t->lane + i * VL;
      const vec d = vec_load(t->x + at) - mean[i];
      vec g = vec_load(t->dy + at);
      if (w->relu) g = keep_where(d * vec_load(w->scale + lane) + vec_load(w->bias + lane) > 0, g);
      sum[i] += g;
      product[i] += g * d;
    }

  float s[LANES], q[LANES];
  FOR_VECTORS(i) vec_store(s + i * VL, sum[i]), vec_store(q + i * VL, product[i]);
  double *first = p->first + t->lane, *second = p->second + t->lane;
#pragma omp simd
  for (ptrdiff_t i = 0; i < t->lanes; i++) first[i] += (double)s[i], second[i] += (double)q[i];
}

static void sum_part(const work *w, int part, th_tile_task *task) {
  const th_tiling *t = &w->tiling;
  double *first = w->sums + 2 * part * t->padded;
  memset(first, 0, (size_t)(2 * t->padded) * sizeof *first);
  th_visit_part(t, &w->operands, part, task, &(part_sums){w, first, first + t->padded});
}

/** Totals by channel over parts and lanes, in order. */
static void merge_sums(const work *w) {
  const th_tiling *t = &w->tiling;
  memset(w->first, 0, (size_t)(2 * t->channels) * sizeof *w->first);
  for (int part = 0; part < t->parts; part++) {
    const double *first = w->sums + 2 * part * t->padded, *second = first + t->padded;
    for (ptrdiff_t start = 0; start < t->width; start += t->channels)
      for (ptrdiff_t c = 0; c < t->channels; c++) {
        w->first[c] += first[start + c];
        w->second[c] += second[start + c];
      }
  }
}

/* --------------------------------------------------------------------------------------------- elements */

static void normalise_tile(const th_tile *t, void *context) {
  const work *w = context;
  vec mean[VECTORS], scale[VECTORS], bias[VECTORS];
  FOR_VECTORS(i) {
    mean[i] = vec_load(w->mean + t->lane + i * VL);
    scale[i] = vec_load(w->scale + t->lane + i * VL);
    bias[i] = vec_load(w->bias + t->lane + i * VL);
  }
  const int relu = w->relu;
  for (ptrdiff_t r = 0; r < t->rows; r++) FOR_VECTORS(i) {
      const ptrdiff_t at = r * t->stride + i * VL;
      const vec y = (vec_load(t->x + at) - mean[i]) * scale[i] + bias[i];
      vec_store(t->out + at, relu ? drop_where(y < 0, y) : y);
    }
}

/** Column by column, so that the five numbers of a lane stay in registers; the tile itself is in the L1 cache. */
static void gradient_tile(const th_tile *t, void *context) {
  const work *w = context;
  const int relu = w->relu;
  for (ptrdiff_t i = 0; i < LANES; i += VL) {
    const ptrdiff_t lane = t->lane + i;
    const vec mean = vec_load(w->mean + lane), scale = vec_load(w->scale + lane), bias = vec_load(w->bias + lane);
    const vec slope = vec_load(w->slope + lane), constant = vec_load(w->constant + lane);
    for (ptrdiff_t r = 0; r < t->rows; r++) {
      const ptrdiff_t at = r * t->stride + i;
      const vec d = vec_load(t->x + at) - mean;
      vec g = vec_load(t->dy + at);
      if (relu) g = keep_where(d * scale + bias > 0, g);
      vec_store(t->out + at, g * scale + (d * slope + constant));
    }
  }
}

/* ---------------------------------------------------------------------------------------------- kernels */

static float inverse_std(double variance, double eps) { return (float)(1 / sqrt(variance + eps)); }

typedef struct {
  float *mean, *istd, *running_mean, *running_var;
  double eps, momentum;
} statistics_out;

static void store_statistics(const work *w, const statistics_out *s) {
  const double n = (double)w->tiling.rows, unbiased = n > 1 ? n / (n - 1) : 1;
  for (ptrdiff_t c = 0; c < w->tiling.channels; c++) {
    const double shifted = w->first[c] / n, variance = fmax(w->second[c] / n - shifted * shifted, 0);
    const double mean = (double)w->mean[c] + shifted;
    s->mean[c] = (float)mean;
    s->istd[c] = inverse_std(variance, s->eps);
    if (s->running_mean) s->running_mean[c] += (float)(s->momentum * (mean - (double)s->running_mean[c]));
    if (s->running_var) s->running_var[c] += (float)(s->momentum * (variance * unbiased - (double)s->running_var[c]));
  }
}

/** What the threads of the forward pass share. */
typedef struct {
  work *w;
  statistics_out out;
  const float *weight, *bias;
} forward;

/* The directives bind to the fork that th_parallel made, if it did. */
static void normalise(int thread, int threads, void *context) {
  forward *f = context;
  work *w = f->w;
  (void)thread, (void)threads;
#pragma omp for schedule(static)
  for (int part = 0; part < w->tiling.parts; part++) sum_part(w, part, statistics_tile);
#pragma omp single
  {
    merge_sums(w);
    store_statistics(w, &f->out);
    set_transform(w, f->out.mean, f->out.istd, f->weight, f->bias);
  }
#pragma omp for schedule(static)
  for (int part = 0; part < w->tiling.parts; part++) th_visit_part(&w->tiling, &w->operands, part, normalise_tile, w);
}

int32_t th_batch_norm(float *y, float *mean, float *istd, float *running_mean, float *running_var, const float *x,
                      const float *weight, const float *bias, int32_t rows, int32_t channels, double eps,
                      double momentum, int32_t relu) {
  work w;
  if (rows == 0) return TH_STATUS_OK;
  if (!make_work(&w, rows, channels, (th_tile_operands){.x = x, .out = y}, relu)) return TH_STATUS_OUT_OF_MEMORY;
  memcpy(w.mean, x, (size_t)channels * sizeof *x); /* the first row is near enough */
  spread(&w.tiling, w.mean);
  forward f = {&w, {mean, istd, running_mean, running_var, eps, momentum}, weight, bias};
  th_parallel(w.tiling.parts, normalise, &f);
  return TH_STATUS_OK;
}

int32_t th_batch_norm_inference(float *y, const float *x, const float *weight, const float *bias, const float *mean,
                                const float *var, int32_t rows, int32_t channels, double eps, int32_t relu) {
  work w;
  if (!make_work(&w, rows, channels, (th_tile_operands){.x = x, .out = y}, relu)) return TH_STATUS_OUT_OF_MEMORY;
  for (ptrdiff_t c = 0; c < channels; c++) w.slope[c] = inverse_std((double)var[c], eps);
  set_transform(&w, mean, w.slope, weight, bias);
  const int parts = w.tiling.parts;
  TH_PARALLEL_FOR(parts, part, parts, { th_visit_part(&w.tiling, &w.operands, part, normalise_tile, &w); });
  return TH_STATUS_OK;
}

/** dweight, dbias, and how dx depends on x: with x̂ = (x - mean) · istd,
    dx = weight · istd · (g - Σ g / rows - x̂ · Σ g x̂ / rows); the two sums are absent where the statistics are fixed. */
static void store_gradients(const work *w, float *dweight, float *dbias, const float *istd, int fixed) {
  const double n = (double)w->tiling.rows;
  for (ptrdiff_t c = 0; c < w->tiling.channels; c++) {
    const double s = (double)istd[c], scale = (double)w->scale[c];
    dbias[c] = (float)w->first[c];
    dweight[c] = (float)(w->second[c] * s);
    w->constant[c] = fixed ? 0 : (float)(-scale * w->first[c] / n);
    w->slope[c] = fixed ? 0 : (float)(-scale * s * s * w->second[c] / n);
  }
  spread(&w->tiling, w->constant);
  spread(&w->tiling, w->slope);
}

/** What the threads of the backward pass share. */
typedef struct {
  work *w;
  float *dx, *dweight, *dbias;
  const float *istd;
  int fixed;
} backward;

static void propagate(int thread, int threads, void *context) {
  backward *b = context;
  work *w = b->w;
  (void)thread, (void)threads;
#pragma omp for schedule(static)
  for (int part = 0; part < w->tiling.parts; part++) sum_part(w, part, gradient_sums_tile);
#pragma omp single
  {
    merge_sums(w);
    store_gradients(w, b->dweight, b->dbias, b->istd, b->fixed);
  }
  if (!b->dx) return;
  const th_tile_operands gradient = {w->operands.x, w->operands.dy, b->dx};
#pragma omp for schedule(static)
  for (int part = 0; part < w->tiling.parts; part++) th_visit_part(&w->tiling, &gradient, part, gradient_tile, w);
}

int32_t th_batch_norm_backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
                               const float *weight, const float *bias, const float *mean, const float *istd,
                               int32_t rows, int32_t channels, int32_t relu, int32_t fixed) {
  work w;
  if (!make_work(&w, rows, channels, (th_tile_operands){x, dy, NULL}, relu)) return TH_STATUS_OUT_OF_MEMORY;
  set_transform(&w, mean, istd, weight, bias);
  backward b = {&w, dx, dweight, dbias, istd, fixed};
  th_parallel(w.tiling.parts, propagate, &b);
  return TH_STATUS_OK;
}
