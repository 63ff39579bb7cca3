/*
 * The weight gradient by Winograd's minimal filtering along columns (winograd_1d.h): each point's samples and its transformed
 * gradients of the outputs give the gradient of its weights, as any convolution's do. These are transformed back once, in the end.
 *
 * Threads share out the tiles and sum for themselves. Then they share out the weights, and add up what all have summed, in order.
 */
#include "conv_weight.h"
#include "conv_winograd_1d.h"
#include "parallel.h"

/** What the threads share. */
typedef struct {
  th_conv_shape shape;
  th_winograd_1d w;
  const float *x, *dy;
  float *dweight, *dbias;
  ptrdiff_t tiles;                                      /* of a block, at most */
  ptrdiff_t weights_step, samples_step, gradients_step; /* from point to point */
  ptrdiff_t bias;                                       /* where a thread's bias gradient is, after its sums */
  float *scratch; /* for each thread: sums, bias, samples, gradients, packed gradients */
  ptrdiff_t scratch_part;
} job;

/** Transforms the gradients of a tile's outputs; adds them to `bias`. */
TH_INLINE void transform_tile(const int first, const job *w, ptrdiff_t tile, float *out, float *bias) {
  const th_conv_shape *s = &w->shape;
  const th_output_rows r = winograd_1d_rows(s, tile);
  const float *const from = w->dy + (r.image * s->oh + r.y) * s->ow * s->f;
  for (ptrdiff_t j = 0; j < s->f; j += VL) {
    const ptrdiff_t n = th_min(VL, s->f - j);
    vec sum = vec_load_part(bias + j, n);
    for (ptrdiff_t x = 0; x < s->ow; x++) {
      vec g[OUTPUTS] = {0}, u[POINTS];
      TH_UNROLL for (int y = 0; y < OUTPUTS; y++) {
        if (y < r.rows) g[y] = vec_load_part(from + (y * s->ow + x) * s->f + j, n);
        sum += g[y];
      }
      transform_gradients(first, u, g);
      TH_UNROLL for (int p = first; p < POINTS; p++)
          vec_store_part(out + (p - first) * w->gradients_step + x * s->f + j, u[p], n);
    }
    vec_store_part(bias + j, sum, n);
  }
}

/** Transforms weights begin to end back, the sums of all threads. */
TH_INLINE void transform_back(const int first, const job *w, int threads, ptrdiff_t begin, ptrdiff_t end) {
  const th_conv_shape *s = &w->shape;
  const ptrdiff_t row = s->kw * s->c * s->f, tap = s->stride * row;
  for (ptrdiff_t i = begin; i < end; i += VL) {
    vec m[POINTS], u[TAPS];
    TH_UNROLL for (int p = first; p < POINTS; p++) {
      const float *at = w->scratch + (p - first) * w->weights_step + i;
      m[p] = vec_load(at);
      for (int t = 1; t < threads; t++) m[p] += vec_load(at + t * w->scratch_part);
    }
    transform_gradient_sums(first, u, m);
    TH_UNROLL for (int a = first; a < TAPS; a++) {
      const ptrdiff_t at = (a - first) * tap + i, n = th_min(end - i, s->kh * row - at);
      if (n > 0) vec_store_part(w->dweight + at, u[a], th_min(VL, n));
    }
  }
}

static void run(int thread, int threads, void *context) {
  const job *w = context;
  const th_conv_shape *s = &w->shape;
  float *const sums = w->scratch + thread * w->scratch_part, *const bias = sums + w->bias;
  float *const samples = bias + th_ceil_div(s->f, VL) * VL;
  float *const gradients = samples + w->w.points * w->samples_step;
  float *const packed = gradients + w->w.points * w->gradients_step;
  const ptrdiff_t begin = th_split(w->w.tiles, thread, threads), end = th_split(w->w.tiles, thread + 1, threads);
  const ptrdiff_t blocks = th_ceil_div(end - begin, w->tiles);
  zero_floats(bias, s->f);
  if (blocks == 0) zero_floats(sums, w->w.points * w->weights_step);
  winograd_1d_borders(s, &w->w, w->tiles, samples, w->samples_step);
  for (ptrdiff_t block = 0; block < blocks; block++) {
    const ptrdiff_t from = begin + th_split(end - begin, block, blocks);
    const ptrdiff_t tiles = begin + th_split(end - begin, block + 1, blocks) - from;
    winograd_1d_samples(s, &w->w, w->x, from, tiles, samples, w->samples_step);
    for (ptrdiff_t i = 0; i < tiles; i++) {
      float *const at = gradients + i * s->ow * s->f;
      if (w->w.first) transform_tile(1, w, from + i, at, bias);
      else transform_tile(0, w, from + i, at, bias);
    }
    const th_conv_shape point = point_shape(s, &w->w, tiles);
    for (ptrdiff_t p = 0; p < w->w.points; p++)
      weight_gradient_sum(&point, samples + p * w->samples_step + (w->w.before - s->padding) * s->c,
                          gradients + p * w->gradients_step, sums + p * w->weights_step, block > 0, packed);
  }

#pragma omp barrier
  const ptrdiff_t weights = s->stride * s->kw * s->c * s->f, vectors = th_ceil_div(weights, VL);
  const ptrdiff_t from = VL * th_split(vectors, thread, threads);
  const ptrdiff_t to = th_min(weights, VL * th_split(vectors, thread + 1, threads));
  if (w->w.first) transform_back(1, w, threads, from, to);
  else transform_back(0, w, threads, from, to);
  for (ptrdiff_t i = 0; w->dbias && thread == 0 && i < s->f; i++) {
    w->dbias[i] = bias[i];
    for (int t = 1; t < threads; t++) w->dbias[i] += bias[t * w->scratch_part + i];
  }
}

int32_t weight_gradient_1d(float *dweight, float *dbias, const float *x, const float *dy, const th_conv_shape *shape) {
  job w = {.shape = *shape, .w = winograd_1d_of(shape), .x = x, .dy = dy, .dweight = dweight, .dbias = dbias};
  const th_conv_shape *s = &w.shape;
  const int threads = conv_threads(s);
  w.tiles = winograd_1d_block(s, &w.w, th_ceil_div(w.w.tiles, threads));
  w.weights_step = apart(s->stride * s->kw * s->c * s->f);
  w.samples_step = apart(w.tiles * w.w.size);
  w.gradients_step = apart(w.tiles * s->ow * s->f);
  w.bias = w.w.points * w.weights_step;
  w.scratch_part = th_own_floats(w.bias + th_ceil_div(s->f, VL) * VL +
                                 w.w.points * (w.samples_step + w.gradients_step) + WEIGHT_GRADIENT_PIXELS * NR);
  w.scratch = th_work_space(0, threads * w.scratch_part, "convBackwardWeight");
  if (!w.scratch) return TH_STATUS_OUT_OF_MEMORY;
  th_parallel(threads, run, &w);
  return TH_STATUS_OK;
}
