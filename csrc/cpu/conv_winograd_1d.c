/*
 * Convolution by Winograd's minimal filtering along columns (winograd_1d.h). Some tiles at a time: their transformed samples
 * and the sums stay in the L2 cache. Threads share out the tiles; each transforms the weights, which are few, for itself.
 */
#include "conv_winograd_1d.h"
#include "pack.h"
#include "parallel.h"

/** What the threads share. */
typedef struct {
  th_conv_shape shape;
  th_winograd_1d w;
  const float *x, *weight, *bias;
  th_epilogue epilogue;
  float *y;
  int reads_borders;                            /* of zeros */
  ptrdiff_t tiles;                              /* of a block, at most */
  ptrdiff_t taps_step, samples_step, sums_step; /* from tap to tap, and from point to point */
  float *scratch; /* for each thread: packed and transformed weights, samples, sums, the work space of a correlation */
  ptrdiff_t scratch_part;
} job;

/** The correlation of a point with its transformed weights, panels. Windows may end beside the image unless that takes a copy:
    then they read the zeros that lie there. */
static th_correlation correlation_of_point(const job *w, ptrdiff_t tiles, const float *samples, const float *weights,
                                           float *sums) {
  const th_conv_shape s = point_shape(&w->shape, &w->w, tiles);
  th_correlation r = correlation_of(&s, samples);
  const ptrdiff_t padding = w->shape.padding;
  if (w->reads_borders) r.x += (w->w.before - padding) * s.c, r.w -= w->w.before - padding;
  else r.x += w->w.before * s.c, r.w = w->shape.w, r.left = padding;
  r.y = sums, r.f = r.all_f = s.f;
  r.y_image = r.y_row = s.ow * s.f, r.y_pixel = s.f;
  r.weights = weights, r.tap_columns = s.kw;
  return r;
}

/** The weights as panels of each tap, zeros beyond the window. */
static void pack_taps(const job *w, float *out) {
  const th_conv_shape *s = &w->shape;
  for (ptrdiff_t tap = 0; tap < TAPS - w->w.first; tap++) {
    const ptrdiff_t row = s->kw * s->c, rows = s->stride * row, ky = tap * s->stride;
    const ptrdiff_t inside = th_min(rows, (s->kh - ky) * row);
    float *panel = out + tap * w->taps_step;
    for (ptrdiff_t j = 0; j < s->f; j += NR) {
      const ptrdiff_t cols = th_min(NR, s->f - j), width = panel_width(cols);
      pack_panel(panel, w->weight + ky * row * s->f + j, s->f, inside, cols);
      zero_floats(panel + inside * width, (rows - inside) * width);
      panel += rows * width;
    }
  }
}

TH_INLINE void transform_weights(const int first, ptrdiff_t step, const float *taps, float *out) {
  for (ptrdiff_t i = 0; i < step; i += VL) {
    vec g[TAPS], u[POINTS];
    TH_UNROLL for (int a = first; a < TAPS; a++) g[a] = vec_load(taps + (a - first) * step + i);
    transform_taps(first, u, g);
    TH_UNROLL for (int p = first; p < POINTS; p++) vec_store(out + (p - first) * step + i, u[p]);
  }
}

/** Transforms a tile's sums back, and finishes and stores them. */
TH_INLINE void finish_tile(const int first, const job *w, ptrdiff_t tile, const float *sums) {
  const th_conv_shape *s = &w->shape;
  const th_output_rows r = winograd_1d_rows(s, tile);
  float *const out = w->y + (r.image * s->oh + r.y) * s->ow * s->f;
  for (ptrdiff_t j = 0; j < s->f; j += VL) {
    const ptrdiff_t n = th_min(VL, s->f - j);
    const th_epilogue e = epilogue_at(&w->epilogue, j, 1);
    const vec bias = w->bias ? vec_load_part(w->bias + j, n) : (vec){0};
    for (ptrdiff_t x = 0; x < s->ow; x++) {
      vec m[POINTS], u[OUTPUTS];
      TH_UNROLL for (int p = first; p < POINTS; p++) m[p] =
          vec_load_part(sums + (p - first) * w->sums_step + x * s->f + j, n);
      transform_sums(first, u, m);
      TH_UNROLL for (int y = 0; y < OUTPUTS; y++) {
        if (y >= r.rows) break;
        float *const at = out + (y * s->ow + x) * s->f + j;
        vec sum[1][2] = {{u[y] + bias}};
        if (e.does) finish(1, 1, sum, &e, at, 0, n);
        if (n == VL) vec_store(at, sum[0][0]);
        else vec_store_part(at, sum[0][0], n);
      }
    }
  }
}

/** A member's share of the tiles. */
static void run_share(const job *w, th_member member, float *taps) {
  const th_conv_shape *s = &w->shape;
  float *const weights = taps + TAPS * w->taps_step;
  float *const samples = weights + POINTS * w->taps_step, *const sums = samples + w->w.points * w->samples_step;
  float *const work = sums + w->w.points * w->sums_step;
  const ptrdiff_t begin = th_split(w->w.tiles, member.thread, member.threads);
  const ptrdiff_t end = th_split(w->w.tiles, member.thread + 1, member.threads);
  const ptrdiff_t blocks = th_ceil_div(end - begin, w->tiles);
  pack_taps(w, taps);
  if (w->w.first) transform_weights(1, w->taps_step, taps, weights);
  else transform_weights(0, w->taps_step, taps, weights);
  if (w->reads_borders) winograd_1d_borders(s, &w->w, w->tiles, samples, w->samples_step);
  for (ptrdiff_t block = 0; block < blocks; block++) {
    const ptrdiff_t from = begin + th_split(end - begin, block, blocks);
    const ptrdiff_t tiles = begin + th_split(end - begin, block + 1, blocks) - from;
    winograd_1d_samples(s, &w->w, w->x, from, tiles, samples, w->samples_step);
    for (ptrdiff_t p = 0; p < w->w.points; p++) {
      const th_correlation r = correlation_of_point(w, tiles, samples + p * w->samples_step, weights + p * w->taps_step,
                                                    sums + p * w->sums_step);
      correlate(&r, 1, 0, 1, work);
    }
    for (ptrdiff_t i = 0; i < tiles; i++) {
      const float *const at = sums + i * s->ow * s->f;
      if (w->w.first) finish_tile(1, w, from + i, at);
      else finish_tile(0, w, from + i, at);
    }
  }
}

static job plan(float *y, const float *x, const float *weight, const float *bias, const th_epilogue *epilogue,
                const th_conv_shape *s, int threads) {
  job w = {.shape = *s, .w = winograd_1d_of(s), .x = x, .weight = weight, .bias = bias, .epilogue = *epilogue, .y = y};
  w.tiles = winograd_1d_block(s, &w.w, th_ceil_div(w.w.tiles, threads));
  w.taps_step = s->stride * s->kw * s->c * NR * th_ceil_div(s->f, NR);
  w.samples_step = apart(w.tiles * w.w.size);
  w.sums_step = apart(w.tiles * s->ow * s->f);
  th_correlation r = correlation_of_point(&w, w.tiles, x, NULL, NULL);
  w.reads_borders = correlation_scratch(&r) > 0;
  r = correlation_of_point(&w, w.tiles, x, NULL, NULL);
  w.scratch_part = th_own_floats((TAPS + POINTS) * w.taps_step + w.w.points * (w.samples_step + w.sums_step) +
                                 correlation_scratch(&r));
  return w;
}

static void run(int thread, int threads, void *context) {
  const job *w = context;
  run_share(w, (th_member){thread, threads}, w->scratch + thread * w->scratch_part);
}

int32_t convolve_1d(float *y, const float *x, const float *weight, const float *bias, const th_epilogue *epilogue,
                    const th_conv_shape *s) {
  const int threads = conv_threads(s);
  job w = plan(y, x, weight, bias, epilogue, s, threads);
  w.scratch = th_work_space(0, threads * w.scratch_part, "conv");
  if (!w.scratch) return TH_STATUS_OUT_OF_MEMORY;
  th_parallel(threads, run, &w);
  return TH_STATUS_OK;
}

int32_t convolve_1d_share(float *y, const float *x, const float *weight, const float *bias, const th_epilogue *epilogue,
                          const th_conv_shape *s, th_member member) {
  const job w = plan(y, x, weight, bias, epilogue, s, member.threads);
  float *const scratch = th_work_space(0, w.scratch_part, "conv");
  if (!scratch) return TH_STATUS_OUT_OF_MEMORY;
  run_share(&w, member, scratch);
  return TH_STATUS_OK;
}
