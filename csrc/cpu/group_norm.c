/*
 * Group normalisation: the channels of each image in groups, each by its own mean and variance over the image.
 *
 * A thread takes one image after another, which is still in its cache when it is normalised. Where there are fewer images than
 * threads, some share one, in parts, and wait for each other. Sums are added up as doubles in a fixed order: those by channel
 * to groups, and those of the gradients of weight and bias over a team's images, and then over teams.
 */
#include "channel_tiles.h"
#include "parallel.h"

#include <math.h>

static const double GRAIN = 12288; /* elements worth a thread */

/* ------------------------------------------------------------------------------------------- work space */

typedef struct {
  th_tiling tiling; /* of an image; its parts are the threads of a team */
  ptrdiff_t images, groups;
  int teams;
  double *doubles; /* (teams, doubles_each) */
  float *floats;   /* (teams, TH_BY_LANE, padded) */
} plan;

/** What a team needs for the image at hand. */
typedef struct {
  th_by_lane by;
  double *sums;      /* (parts, 2, padded) */
  double *totals;    /* (2, channels) */
  double *gradients; /* (2, channels): dbias and dweight of the images so far */
} team;

static ptrdiff_t doubles_each(const plan *p) { return 2 * p->tiling.parts * p->tiling.padded + 4 * p->tiling.channels; }

static int make_plan(plan *p, ptrdiff_t images, ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t groups) {
  th_tiling t = th_make_tiling(rows, channels, GRAIN);
  const int threads = th_threads_for((double)images * (double)rows * (double)channels, GRAIN);
  const ptrdiff_t teams = th_max(1, th_min(images, threads));
  t.parts = threads / (int)teams;
  *p = (plan){.tiling = t, .images = rows == 0 ? 0 : images, .groups = groups, .teams = (int)teams};
  p->doubles = th_scratch(5, (size_t)(teams * doubles_each(p)) * sizeof *p->doubles);
  p->floats = th_scratch(6, (size_t)(teams * TH_BY_LANE * t.padded) * sizeof *p->floats);
  return p->doubles && p->floats;
}

static team team_of(const plan *p, ptrdiff_t index) {
  const th_tiling *t = &p->tiling;
  double *doubles = p->doubles + index * doubles_each(p), *totals = doubles + 2 * t->parts * t->padded;
  return (team){
      .by = th_make_by_lane(p->floats + index * TH_BY_LANE * t->padded, t, 0),
      .sums = doubles,
      .totals = totals,
      .gradients = totals + 2 * t->channels,
  };
}

/* --------------------------------------------------------------------------------------- order of work */

/** What is done for an image: sums of each part, what follows from them, and the elements of each part. */
typedef struct {
  void (*prepare)(const void *job, team *t, ptrdiff_t image);
  void (*sum)(const void *job, team *t, ptrdiff_t image, int part);
  void (*merge)(const void *job, team *t, ptrdiff_t image);
  void (*apply)(const void *job, team *t, ptrdiff_t image, int part);
} stages;

typedef struct {
  const plan *p;
  const stages *s;
  const void *job;
} run_context;

/** As many teams as images: the threads go through the stages together. */
static void run_together(int thread, int threads, void *context) {
  const run_context *c = context;
  const int parts = c->p->tiling.parts, count = c->p->teams * parts;
  (void)thread, (void)threads;
#pragma omp for schedule(static)
  for (int i = 0; i < count; i++) {
    team t = team_of(c->p, i / parts);
    c->s->sum(c->job, &t, i / parts, i % parts);
  }
#pragma omp for schedule(static)
  for (int image = 0; image < c->p->teams; image++) {
    team t = team_of(c->p, image);
    c->s->merge(c->job, &t, image);
  }
#pragma omp for schedule(static)
  for (int i = 0; i < count; i++) {
    team t = team_of(c->p, i / parts);
    c->s->apply(c->job, &t, i / parts, i % parts);
  }
}

static void run(const plan *p, const stages *s, const void *job) {
  if (p->tiling.parts > 1 && p->images > 0) {
    run_context c = {p, s, job};
    for (int image = 0; image < p->teams; image++) {
      team t = team_of(p, image);
      s->prepare(job, &t, image);
    }
    th_parallel(p->teams * p->tiling.parts, run_together, &c);
    return;
  }
  const int parts = p->teams;
  TH_PARALLEL_FOR(parts, part, parts, {
    team t = team_of(p, part);
    const ptrdiff_t end = th_split(p->images, part + 1, parts);
    for (ptrdiff_t image = th_split(p->images, part, parts); image < end; image++) {
      s->prepare(job, &t, image);
      s->sum(job, &t, image, 0);
      s->merge(job, &t, image);
      s->apply(job, &t, image, 0);
    }
  });
}

/* ------------------------------------------------------------------------------------------------ forward */

typedef struct {
  plan p;
  float *y, *mean, *istd;
  const float *x, *weight, *bias;
  double eps;
} forward;

/** The sums are those of deviations from zero: within a tile they are from its own mean, and doubles lose nothing after that. */
static void prepare_sums(const void *job, team *t, ptrdiff_t image) {
  const forward *f = job;
  (void)image;
  memset(t->by.mean, 0, (size_t)f->p.tiling.padded * sizeof *t->by.mean);
}

static void sum_deviations(const void *job, team *t, ptrdiff_t image, int part) {
  const forward *f = job;
  const th_tiling *tiling = &f->p.tiling;
  const th_tile_operands operands = {.x = f->x + image * tiling->rows * tiling->channels};
  th_sum_part(tiling, &operands, &t->by, part, t->sums + 2 * part * tiling->padded, th_statistics_tile);
}

/** By lane, from an image's statistics. */
static void set_transform(const plan *p, const th_by_lane *by, const float *mean, const float *istd,
                          const float *weight, const float *bias) {
  const ptrdiff_t size = p->tiling.channels / p->groups;
  for (ptrdiff_t g = 0, c = 0; g < p->groups; g++)
    for (const ptrdiff_t end = c + size; c < end; c++) {
      by->mean[c] = mean[g];
      by->scale[c] = weight ? istd[g] * weight[c] : istd[g];
      by->bias[c] = bias ? bias[c] : 0;
    }
  th_spread(&p->tiling, by->mean);
  th_spread(&p->tiling, by->scale);
  th_spread(&p->tiling, by->bias);
}

static void store_statistics(const void *job, team *t, ptrdiff_t image) {
  const forward *f = job;
  const ptrdiff_t channels = f->p.tiling.channels, groups = f->p.groups, size = channels / groups;
  const double n = (double)(f->p.tiling.rows * size);
  float *mean = f->mean + image * groups, *istd = f->istd + image * groups;
  th_merge_sums(&f->p.tiling, t->totals, t->sums);
  for (ptrdiff_t g = 0; g < groups; g++) {
    double first = 0, second = 0;
    for (ptrdiff_t c = g * size; c < (g + 1) * size; c++) first += t->totals[c], second += t->totals[channels + c];
    first /= n;
    mean[g] = (float)first;
    istd[g] = (float)(1 / sqrt(fmax(second / n - first * first, 0) + f->eps));
  }
  set_transform(&f->p, &t->by, mean, istd, f->weight, f->bias);
}

static void normalise(const void *job, team *t, ptrdiff_t image, int part) {
  const forward *f = job;
  const th_tiling *tiling = &f->p.tiling;
  const ptrdiff_t at = image * tiling->rows * tiling->channels;
  const th_tile_operands operands = {.x = f->x + at, .out = f->y + at};
  th_visit_part(tiling, &operands, part, th_normalise_tile, &t->by);
}

int32_t th_group_norm(float *y, float *mean, float *istd, const float *x, const float *weight, const float *bias,
                      int32_t images, int32_t rows, int32_t channels, int32_t groups, double eps) {
  forward f = {.y = y, .mean = mean, .istd = istd, .x = x, .weight = weight, .bias = bias, .eps = eps};
  if (!make_plan(&f.p, images, rows, channels, groups)) return TH_STATUS_OUT_OF_MEMORY;
  run(&f.p, &(stages){prepare_sums, sum_deviations, store_statistics, normalise}, &f);
  return TH_STATUS_OK;
}

/* ----------------------------------------------------------------------------------------------- backward */

typedef struct {
  plan p;
  float *dx;
  const float *dy, *x, *weight, *mean, *istd;
} backward;

static void prepare_gradients(const void *job, team *t, ptrdiff_t image) {
  const backward *b = job;
  const ptrdiff_t groups = b->p.groups;
  set_transform(&b->p, &t->by, b->mean + image * groups, b->istd + image * groups, b->weight, NULL);
}

static void sum_gradients(const void *job, team *t, ptrdiff_t image, int part) {
  const backward *b = job;
  const th_tiling *tiling = &b->p.tiling;
  const ptrdiff_t at = image * tiling->rows * tiling->channels;
  const th_tile_operands operands = {.x = b->x + at, .dy = b->dy + at};
  th_sum_part(tiling, &operands, &t->by, part, t->sums + 2 * part * tiling->padded, th_gradient_sums_tile);
}

/** With g = dy · weight and x̂ = (x - mean) · istd: dx = istd · (g - mean(g) - x̂ · mean(g x̂)), the means over the group. */
static void merge_gradients(const void *job, team *t, ptrdiff_t image) {
  const backward *b = job;
  const ptrdiff_t channels = b->p.tiling.channels, groups = b->p.groups, size = channels / groups;
  const double n = (double)(b->p.tiling.rows * size);
  const double *first = t->totals, *second = first + channels;
  double *dbias = t->gradients, *dweight = dbias + channels;
  th_merge_sums(&b->p.tiling, t->totals, t->sums);
  for (ptrdiff_t g = 0; g < groups; g++) {
    const double istd = (double)b->istd[image * groups + g];
    double sum = 0, dot = 0;
    for (ptrdiff_t c = g * size; c < (g + 1) * size; c++) {
      const double weight = b->weight ? (double)b->weight[c] : 1;
      sum += weight * first[c];
      dot += weight * second[c];
      dbias[c] += first[c];
      dweight[c] += second[c] * istd;
    }
    for (ptrdiff_t c = g * size; c < (g + 1) * size; c++) {
      t->by.constant[c] = (float)(-istd * sum / n);
      t->by.slope[c] = (float)(-istd * istd * istd * dot / n);
    }
  }
  th_spread(&b->p.tiling, t->by.constant);
  th_spread(&b->p.tiling, t->by.slope);
}

static void propagate(const void *job, team *t, ptrdiff_t image, int part) {
  const backward *b = job;
  const th_tiling *tiling = &b->p.tiling;
  const ptrdiff_t at = image * tiling->rows * tiling->channels;
  const th_tile_operands operands = {b->x + at, b->dy + at, b->dx + at};
  if (b->dx) th_visit_part(tiling, &operands, part, th_gradient_tile, &t->by);
}

int32_t th_group_norm_backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
                               const float *weight, const float *mean, const float *istd, int32_t images, int32_t rows,
                               int32_t channels, int32_t groups) {
  backward b = {.dx = dx, .dy = dy, .x = x, .weight = weight, .mean = mean, .istd = istd};
  if (!make_plan(&b.p, images, rows, channels, groups)) return TH_STATUS_OUT_OF_MEMORY;
  for (int index = 0; index < b.p.teams; index++)
    memset(team_of(&b.p, index).gradients, 0, (size_t)(2 * channels) * sizeof(double));
  run(&b.p, &(stages){prepare_gradients, sum_gradients, merge_gradients, propagate}, &b);
  for (ptrdiff_t c = 0; c < channels; c++) {
    double of_bias = 0, of_weight = 0;
    for (int index = 0; index < b.p.teams; index++) {
      const double *sums = team_of(&b.p, index).gradients;
      of_bias += sums[c];
      of_weight += sums[channels + c];
    }
    if (dbias) dbias[c] = (float)of_bias;
    if (dweight) dweight[c] = (float)of_weight;
  }
  return TH_STATUS_OK;
}
