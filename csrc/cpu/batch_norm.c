/*
 * Batch normalisation, the statistics and the result in one fork and join.
 *
 * Tiles (see channel_tiles.h) are added up as doubles, each thread's share by itself, and the shares in order: the result
 * depends on the number of threads but not on their timing. Then every thread normalises the rows that it has just read.
 */
#include "channel_tiles.h"
#include "parallel.h"

#include <math.h>

static const double GRAIN = 12288; /* elements worth a thread */

/* ------------------------------------------------------------------------------------------- work space */

/** What one call needs. */
typedef struct {
  th_tiling tiling;
  th_tile_operands operands;
  th_by_lane by;
  double *sums;           /* (parts, 2, padded): of each part */
  double *first, *second; /* (channels): their totals */
} work;

static int make_work(work *w, ptrdiff_t rows, ptrdiff_t channels, th_tile_operands operands, int relu) {
  const th_tiling t = th_make_tiling(rows, channels, GRAIN);
  double *doubles = th_scratch(5, (size_t)(2 * t.parts * t.padded + 2 * channels) * sizeof *doubles);
  float *floats = th_scratch(6, (size_t)(TH_BY_LANE * t.padded) * sizeof *floats);
  *w = (work){
      .tiling = t,
      .operands = operands,
      .by = th_make_by_lane(floats, &t, relu),
      .sums = doubles,
      .first = doubles + 2 * t.parts * t.padded,
      .second = doubles + 2 * t.parts * t.padded + channels,
  };
  return doubles && floats;
}

static void set_transform(work *w, const float *mean, const float *istd, const float *weight, const float *bias) {
  const th_tiling *t = &w->tiling;
  for (ptrdiff_t c = 0; c < t->channels; c++) {
    w->by.mean[c] = mean[c];
    w->by.scale[c] = istd[c] * weight[c];
    w->by.bias[c] = bias[c];
  }
  th_spread(t, w->by.mean);
  th_spread(t, w->by.scale);
  th_spread(t, w->by.bias);
}

/** The sums of one part. */
static void sum_part(const work *w, int part, th_tile_task *task) {
  th_sum_part(&w->tiling, &w->operands, &w->by, part, w->sums + 2 * part * w->tiling.padded, task);
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
    const double mean = (double)w->by.mean[c] + shifted;
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
  for (int part = 0; part < w->tiling.parts; part++) sum_part(w, part, th_statistics_tile);
#pragma omp single
  {
    th_merge_sums(&w->tiling, w->first, w->sums);
    store_statistics(w, &f->out);
    set_transform(w, f->out.mean, f->out.istd, f->weight, f->bias);
  }
#pragma omp for schedule(static)
  for (int part = 0; part < w->tiling.parts; part++)
    th_visit_part(&w->tiling, &w->operands, part, th_normalise_tile, &w->by);
}

int32_t th_batch_norm(float *y, float *mean, float *istd, float *running_mean, float *running_var, const float *x,
                      const float *weight, const float *bias, int32_t rows, int32_t channels, double eps,
                      double momentum, int32_t relu) {
  work w;
  if (rows == 0) return TH_STATUS_OK;
  if (!make_work(&w, rows, channels, (th_tile_operands){.x = x, .out = y}, relu)) return TH_STATUS_OUT_OF_MEMORY;
  memcpy(w.by.mean, x, (size_t)channels * sizeof *x); /* the first row is near enough */
  th_spread(&w.tiling, w.by.mean);
  forward f = {&w, {mean, istd, running_mean, running_var, eps, momentum}, weight, bias};
  th_parallel(w.tiling.parts, normalise, &f);
  return TH_STATUS_OK;
}

int32_t th_batch_norm_inference(float *y, const float *x, const float *weight, const float *bias, const float *mean,
                                const float *var, int32_t rows, int32_t channels, double eps, int32_t relu) {
  work w;
  if (!make_work(&w, rows, channels, (th_tile_operands){.x = x, .out = y}, relu)) return TH_STATUS_OUT_OF_MEMORY;
  for (ptrdiff_t c = 0; c < channels; c++) w.by.slope[c] = inverse_std((double)var[c], eps);
  set_transform(&w, mean, w.by.slope, weight, bias);
  const int parts = w.tiling.parts;
  TH_PARALLEL_FOR(parts, part, parts, { th_visit_part(&w.tiling, &w.operands, part, th_normalise_tile, &w.by); });
  return TH_STATUS_OK;
}

/** dweight, dbias, and how dx depends on x: with x̂ = (x - mean) · istd,
    dx = weight · istd · (g - Σ g / rows - x̂ · Σ g x̂ / rows); the two sums are absent where the statistics are fixed. */
static void store_gradients(const work *w, float *dweight, float *dbias, const float *istd, int fixed) {
  const double n = (double)w->tiling.rows;
  for (ptrdiff_t c = 0; c < w->tiling.channels; c++) {
    const double s = (double)istd[c], scale = (double)w->by.scale[c];
    dbias[c] = (float)w->first[c];
    dweight[c] = (float)(w->second[c] * s);
    w->by.constant[c] = fixed ? 0 : (float)(-scale * w->first[c] / n);
    w->by.slope[c] = fixed ? 0 : (float)(-scale * s * s * w->second[c] / n);
  }
  th_spread(&w->tiling, w->by.constant);
  th_spread(&w->tiling, w->by.slope);
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
  for (int part = 0; part < w->tiling.parts; part++) sum_part(w, part, th_gradient_sums_tile);
#pragma omp single
  {
    th_merge_sums(&w->tiling, w->first, w->sums);
    store_gradients(w, b->dweight, b->dbias, b->istd, b->fixed);
  }
  if (!b->dx) return;
  const th_tile_operands gradient = {w->operands.x, w->operands.dy, b->dx};
#pragma omp for schedule(static)
  for (int part = 0; part < w->tiling.parts; part++)
    th_visit_part(&w->tiling, &gradient, part, th_gradient_tile, &w->by);
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
