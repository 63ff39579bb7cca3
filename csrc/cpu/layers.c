/*
 * Inference through layers in a row. Each layer is a convolution with an epilogue, so a layer's result is written once.
 *
 * Threads. Each takes some of the images through all layers: no thread waits for another between them, and what a layer
 * writes is read by the core in whose cache it lies. With too few images for that, the threads go through the layers as a
 * team: each computes its share of every layer, and waits for the others before the next one. A layer of one image takes a
 * microsecond or two, and would not be worth a fork of its own. Only a large product of few rows is: threads cut it along its
 * sums. Where there is one, the layers run in turn.
 *
 * A call of small layers is a team's only where that pays (pace.h). Its results are the same bits either way: no sum is cut,
 * and the order of its terms does not depend on who makes it.
 */
#include "barrier.h"
#include "convolve.h"
#include "pace.h"
#include "parallel.h"

#include <math.h>

enum { SLOT = 7 };               /* of th_scratch: convolutions, which run meanwhile, take others */
static const double GRAIN = 5e5; /* flops of a share */

/** What the threads share. */
typedef struct {
  float *y;
  const float *x;
  float *work;
  const double *layers;
  ptrdiff_t count, n, work_floats;
  double flops;
  int has_large;                    /* a layer worth a fork of its own, … */
  int has_large_product;            /* … and a pointwise one, which is a product of matrices */
  int threads;                      /* worth using, be they used or not */
  atomic_int status;                /* of the thread that failed, if one did */
  _Alignas(128) th_barrier barrier; /* on lines of its own, as threads write there while others read the rest */
} job;

static const float *address(double value) { return (const float *)(uintptr_t)value; }

static th_conv_shape shape_of(const double *layer, ptrdiff_t n) {
  int32_t geometry[9] = {(int32_t)n};
  for (int i = 0; i < 8; i++) geometry[1 + i] = (int32_t)layer[TH_LAYER_H + i];
  return th_read_conv_shape(geometry);
}

/** Images first to first + n, of the input, the output or the work space, which has room for a share's after that of the
    shares before it. */
static float *images(const job *w, double place, ptrdiff_t size, ptrdiff_t first, ptrdiff_t n) {
  if (place == TH_PLACE_X) return (float *)(uintptr_t)w->x + first * size;
  if (place == TH_PLACE_Y) return w->y + first * size;
  return w->work + first * w->work_floats + n * (ptrdiff_t)place;
}

/** A member's share of taking images first to first + n through one layer, computed as it is best on `counted` threads. Without a
    team, threads = 0, the layer forks for itself. */
static int32_t run_layer(const job *w, const double *layer, ptrdiff_t first, ptrdiff_t n, int counted, th_member m) {
  const th_conv_shape s = shape_of(layer, n);
  const ptrdiff_t out_size = s.oh * s.ow * s.f;
  float *const y = images(w, layer[TH_LAYER_OUT], out_size, first, n);
  const float *const x = images(w, layer[TH_LAYER_IN], s.h * s.w * s.c, first, n);
  const float *bias = address(layer[TH_LAYER_BIAS]), *const gamma = address(layer[TH_LAYER_GAMMA]);
  th_epilogue e = {0};
  if (layer[TH_LAYER_RELU] != 0) e.does |= TH_RELU;
  if (layer[TH_LAYER_RELU_AFTER] != 0) e.does |= TH_RELU_AFTER;
  if (layer[TH_LAYER_ADD] != TH_PLACE_NONE) {
    e.does |= TH_ADD;
    e.add = images(w, layer[TH_LAYER_ADD], out_size, first, n) - y;
  }
  if (gamma) { /* the sums start from bias - mean; the epilogue does the rest */
    const float *const mean = address(layer[TH_LAYER_MEAN]), *const var = address(layer[TH_LAYER_VAR]);
    float *const start = th_scratch(SLOT, (size_t)(2 * s.f) * sizeof *start), *const scale = start + s.f;
    const float eps = (float)layer[TH_LAYER_EPS];
    if (!start) return TH_STATUS_OUT_OF_MEMORY;
    for (ptrdiff_t i = 0; i < s.f; i++) {
      start[i] = (bias ? bias[i] : 0) - mean[i];
      scale[i] = gamma[i] / sqrtf(var[i] + eps); /* in float: for one image doubles took 3% of all the time */
    }
    bias = start;
    e.does |= TH_SCALE, e.scale = scale, e.shift = address(layer[TH_LAYER_BETA]);
  }
  const float *const weight = address(layer[TH_LAYER_WEIGHT]);
  return m.threads ? convolve_share(y, x, weight, bias, &e, &s, counted, m) : convolve(y, x, weight, bias, &e, &s);
}

/** Some of the images, through all layers. */
static void run_images(int thread, int threads, void *context) {
  job *w = context;
  const ptrdiff_t first = th_split(w->n, thread, threads), n = th_split(w->n, thread + 1, threads) - first;
  int32_t status = TH_STATUS_OK;
  for (ptrdiff_t i = 0; i < w->count && status == TH_STATUS_OK; i++)
    status = run_layer(w, w->layers + i * TH_LAYER_ENTRIES, first, n, 1, (th_member){0, 1});
  if (status != TH_STATUS_OK) atomic_store(&w->status, status);
}

/** All images, through layer after layer together with the others. A thread that fails still comes to every barrier. */
static void run_member(int thread, int threads, void *context) {
  job *w = context;
  int32_t status = TH_STATUS_OK;
  for (int i = 0; i < w->count; i++) {
    if (i > 0) th_barrier_wait(&w->barrier, threads, i);
    if (status == TH_STATUS_OK)
      status =
          run_layer(w, w->layers + (ptrdiff_t)i * TH_LAYER_ENTRIES, 0, w->n, w->threads, (th_member){thread, threads});
  }
  if (status != TH_STATUS_OK) atomic_store(&w->status, status);
}

/** All images, layer after layer. */
static void run_in_turn(job *w) {
  int32_t status = TH_STATUS_OK;
  for (ptrdiff_t i = 0; i < w->count && status == TH_STATUS_OK; i++)
    status = run_layer(w, w->layers + i * TH_LAYER_ENTRIES, 0, w->n, 0, (th_member){0});
  w->status = status;
}

/** Finds what the layers are. */
static void survey(job *w) {
  for (ptrdiff_t i = 0; i < w->count; i++) {
    const th_conv_shape s = shape_of(w->layers + i * TH_LAYER_ENTRIES, w->n);
    const int is_large = conv_threads(&s) > 1;
    w->flops += conv_flops(&s);
    w->has_large |= is_large;
    w->has_large_product |= is_large && th_is_pointwise(&s);
  }
  w->threads = th_threads_for(w->flops, GRAIN);
}

/** By a team, or by this thread alone where that is faster. */
static void run_together(job *w) {
  static _Thread_local th_pace pace;
  const double start = pace_now();
  const int is_team = pace_is_team(&pace, start, w->has_large);
  th_parallel(is_team ? w->threads : 1, run_member, w);
  pace_learn(&pace, start, w->flops, w->has_large, is_team);
}

int32_t th_layers(float *y, const float *x, float *work, const double *host_layers, int32_t count, int32_t n,
                  double work_floats) {
  job w = {.y = y,
           .x = x,
           .work = work,
           .layers = host_layers,
           .count = count,
           .n = n,
           .work_floats = (ptrdiff_t)work_floats,
           .barrier = TH_BARRIER_START};
  survey(&w);
  const int enough_images = n % w.threads == 0 || n >= 4 * w.threads; /* else some threads would have much less */
  if (enough_images) th_parallel(w.threads, run_images, &w);
  else if (w.has_large_product) run_in_turn(&w);
  else run_together(&w);
  if (w.status == TH_STATUS_OK) return TH_STATUS_OK;
  return th_fail(TH_STATUS_OUT_OF_MEMORY, "layers: a thread had no memory for its work");
}
