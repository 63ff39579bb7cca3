/*
 * Inference through layers in a row. Each layer is a convolution with an epilogue, so a layer's result is written once.
 *
 * Threads. Each takes some of the images through all layers: no thread waits for another between them, and what a layer
 * writes is read by the core in whose cache it lies. With too few images for that, the layers run one by one, each on all
 * threads.
 */
#include "convolve.h"
#include "parallel.h"

#include <math.h>

enum { SLOT = 7, MOST_SHARES = 1024 };
static const double GRAIN = 5e5; /* flops of a share */

/** What the threads share. */
typedef struct {
  float *y;
  const float *x;
  float *work;
  const double *layers;
  ptrdiff_t count, n, work_floats;
  int32_t *status; /* of each thread */
} job;

static const float *address(double value) { return (const float *)(uintptr_t)value; }

static th_conv_shape shape_of(const double *layer, ptrdiff_t n) {
  int32_t geometry[9] = {(int32_t)n};
  for (int i = 0; i < 8; i++) geometry[1 + i] = (int32_t)layer[TH_LAYER_H + i];
  return read_conv_shape(geometry);
}

/** Images first to first + n, of the input, the output or the work space, which has room for a share's after that of the
    shares before it. */
static float *images(const job *w, double place, ptrdiff_t size, ptrdiff_t first, ptrdiff_t n) {
  if (place == TH_LAYERS_X) return (float *)(uintptr_t)w->x + first * size;
  if (place == TH_LAYERS_Y) return w->y + first * size;
  return w->work + first * w->work_floats + n * (ptrdiff_t)place;
}

/** Takes images first to first + n through one layer. */
static int32_t run_layer(const job *w, const double *layer, ptrdiff_t first, ptrdiff_t n) {
  const th_conv_shape s = shape_of(layer, n);
  const ptrdiff_t out_size = s.oh * s.ow * s.f;
  float *const y = images(w, layer[TH_LAYER_OUT], out_size, first, n);
  const float *const x = images(w, layer[TH_LAYER_IN], s.h * s.w * s.c, first, n);
  const float *bias = address(layer[TH_LAYER_BIAS]), *const gamma = address(layer[TH_LAYER_GAMMA]);
  th_epilogue e = {0};
  if (layer[TH_LAYER_RELU] != 0) e.does |= TH_RELU;
  if (layer[TH_LAYER_RELU_AFTER] != 0) e.does |= TH_RELU_AFTER;
  if (layer[TH_LAYER_ADD] != TH_LAYERS_NONE) {
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
  return convolve(y, x, address(layer[TH_LAYER_WEIGHT]), bias, &e, &s);
}

static int32_t run_layers(const job *w, ptrdiff_t first, ptrdiff_t n) {
  int32_t status = TH_STATUS_OK;
  for (ptrdiff_t i = 0; i < w->count && status == TH_STATUS_OK; i++)
    status = run_layer(w, w->layers + i * TH_LAYER_ENTRIES, first, n);
  return status;
}

static void run_share(int thread, int threads, void *context) {
  const job *w = context;
  const ptrdiff_t first = share(w->n, thread, threads);
  w->status[thread] = run_layers(w, first, share(w->n, thread + 1, threads) - first);
}

/** Into how many shares the images are cut: as many as there are threads, or one if some threads would have much less. */
static int shares_of(const job *w) {
  double flops = 0;
  for (ptrdiff_t i = 0; i < w->count; i++) {
    const th_conv_shape s = shape_of(w->layers + i * TH_LAYER_ENTRIES, w->n);
    flops += conv_flops(&s);
  }
  const int threads = th_threads_for(flops, GRAIN);
  return threads <= MOST_SHARES && (w->n % threads == 0 || w->n >= 4 * threads) ? threads : 1;
}

int32_t th_layers(float *y, const float *x, float *work, const double *host_layers, int32_t count, int32_t n,
                  double work_floats) {
  int32_t status[MOST_SHARES] = {0};
  job w = {y, x, work, host_layers, count, n, (ptrdiff_t)work_floats, status};
  const int shares = shares_of(&w);
  if (shares == 1) return run_layers(&w, 0, n);
  th_parallel(shares, run_share, &w);
  for (int i = 0; i < shares; i++)
    if (status[i] != TH_STATUS_OK)
      return th_fail(TH_STATUS_OUT_OF_MEMORY, "layers: a thread had no memory for its work");
  return TH_STATUS_OK;
}
