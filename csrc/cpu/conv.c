/*
 * Convolution and its data gradient: both pack the weights, on all threads, and correlate.
 *
 * The data gradient correlates dy with the flipped and transposed weights. With a stride, the pixels of dx fall into
 * stride × stride phases, each of which meets its own taps only: one correlation a phase, its output a strided grid.
 */
#include "conv_shape.h"
#include "correlate.h"
#include "gemm.h"
#include "pack.h"
#include "parallel.h"

enum { SLOT_PANELS = 0, SLOT_BANDS = 1 };

/** What the threads share. */
typedef struct {
  th_conv_shape shape;
  const float *in, *weight, *bias;
  float *out, *panels, *scratch;
  ptrdiff_t scratch_part;
} job;

/** th_conv as a correlation, and the first of the taps that it keeps. */
static th_correlation forward_of(const job *w, ptrdiff_t *ky, ptrdiff_t *kx) {
  const th_conv_shape *s = &w->shape;
  th_correlation r = {.x = w->in, .n = s->n, .h = s->h, .w = s->w, .c = s->c, .x_image = s->h * s->w * s->c,
                      .x_row = s->w * s->c, .x_pixel = s->c, .kh = s->kh, .kw = s->kw, .stride = s->stride,
                      .top = s->padding, .left = s->padding, .y = w->out, .oh = s->oh, .ow = s->ow, .f = s->f,
                      .y_image = s->oh * s->ow * s->f, .y_row = s->ow * s->f, .y_pixel = s->f, .panels = w->panels, .bias = w->bias};
  correlation_trim(&r, ky, kx);
  return r;
}

/** Columns j of B are columns j of the weights; a row of taps is one run of rows. */
static void pack_forward(int thread, int threads, void *context) {
  const job *w = context;
  const th_conv_shape *s = &w->shape;
  ptrdiff_t ky, kx;
  const th_correlation r = forward_of(w, &ky, &kx);
  const ptrdiff_t rows = r.kw * r.c, units = th_ceil_div(r.f, NR) * r.kh;
  for (ptrdiff_t u = share(units, thread, threads); u < share(units, thread + 1, threads); u++) {
    const ptrdiff_t j = u / r.kh * NR, y = u % r.kh, cols = th_min(NR, r.f - j);
    pack_panel(w->panels + j * r.kh * rows + y * rows * panel_width(cols),
               w->weight + ((ky + y) * s->kw + kx) * s->c * s->f + j, s->f, rows, cols);
  }
}

static void correlate_forward(int thread, int threads, void *context) {
  const job *w = context;
  ptrdiff_t ky, kx;
  const th_correlation r = forward_of(w, &ky, &kx);
  correlate(&r, thread, threads, w->scratch + thread * w->scratch_part);
}

int32_t th_conv(float *y, const float *x, const float *weight, const float *bias, const int32_t *geometry) {
  job w = {.shape = read_conv_shape(geometry), .in = x, .weight = weight, .bias = bias, .out = y};
  const th_conv_shape *s = &w.shape;
  const int threads = conv_threads(s);
  if (is_pointwise(s)) {
    const th_gemm g = {.m = s->n * s->h * s->w, .n = s->f, .k = s->c, .a = x, .lda = s->c, .b = weight, .ldb = s->f,
                       .c = y, .ldc = s->f, .bias = bias};
    return gemm(&g, threads);
  }
  ptrdiff_t ky, kx;
  const th_correlation r = forward_of(&w, &ky, &kx);
  w.scratch_part = correlation_scratch(&r);
  w.scratch = th_work_space(SLOT_BANDS, threads * w.scratch_part, "conv");
  if (!w.scratch) return TH_STATUS_OUT_OF_MEMORY;
  if (r.kw == s->kw && (r.f == NR || r.f == VL)) {
    w.panels = (float *)weight + ky * s->kw * s->c * s->f; /* a single panel already */
  } else {
    w.panels = th_work_space(SLOT_PANELS, correlation_panels(&r), "conv");
    if (!w.panels) return TH_STATUS_OUT_OF_MEMORY;
    th_parallel(threads, pack_forward, &w);
  }
  th_parallel(threads, correlate_forward, &w);
  return TH_STATUS_OK;
}

/** One axis of a phase: pixels phase, phase + stride, … of dx meet taps first, first + stride, …, last. */
typedef struct {
  ptrdiff_t pixels, taps, last, before;
} phase_axis;

static phase_axis phase_of_axis(ptrdiff_t phase, ptrdiff_t size, ptrdiff_t taps, ptrdiff_t stride, ptrdiff_t padding) {
  const ptrdiff_t first = (phase + padding) % stride;
  phase_axis p = {.pixels = th_ceil_div(size - phase, stride), .taps = first < taps ? th_ceil_div(taps - first, stride) : 0};
  p.last = first + (p.taps - 1) * stride;
  p.before = p.taps ? p.taps - 1 - (phase + padding - first) / stride : 0;
  return p;
}

/** Phase `index` of the data gradient. Its tap (y, x) is the weights' tap (ky - y · stride, kx - x · stride). */
static th_correlation backward_of(const job *w, ptrdiff_t index, const float *panels, ptrdiff_t *ky, ptrdiff_t *kx) {
  const th_conv_shape *s = &w->shape;
  const ptrdiff_t py = index / s->stride, px = index % s->stride, row = s->w * s->c;
  const phase_axis v = phase_of_axis(py, s->h, s->kh, s->stride, s->padding);
  const phase_axis u = phase_of_axis(px, s->w, s->kw, s->stride, s->padding);
  th_correlation r = {.x = w->in, .n = s->n, .h = s->oh, .w = s->ow, .c = s->f, .x_image = s->oh * s->ow * s->f,
                      .x_row = s->ow * s->f, .x_pixel = s->f, .kh = v.taps, .kw = u.taps, .stride = 1,
                      .top = v.before, .left = u.before, .y = w->out + py * row + px * s->c, .oh = th_max(0, v.pixels),
                      .ow = th_max(0, u.pixels), .f = s->c, .y_image = s->h * row, .y_row = s->stride * row,
                      .y_pixel = s->stride * s->c, .panels = panels};
  ptrdiff_t dropped_y, dropped_x;
  correlation_trim(&r, &dropped_y, &dropped_x);
  *ky = v.last - dropped_y * s->stride;
  *kx = u.last - dropped_x * s->stride;
  return r;
}

static void pack_backward(int thread, int threads, void *context) {
  const job *w = context;
  const th_conv_shape *s = &w->shape;
  float *panels = w->panels;
  for (ptrdiff_t i = 0; i < s->stride * s->stride; i++) {
    ptrdiff_t ky, kx;
    const th_correlation r = backward_of(w, i, panels, &ky, &kx);
    const ptrdiff_t taps = r.kh * r.kw, units = th_ceil_div(r.f, NR) * taps;
    for (ptrdiff_t u = share(units, thread, threads); u < share(units, thread + 1, threads); u++) {
      const ptrdiff_t j = u / taps * NR, tap = u % taps, cols = th_min(NR, r.f - j);
      const ptrdiff_t from = (ky - tap / r.kw * s->stride) * s->kw + kx - tap % r.kw * s->stride;
      pack_panel_transposed(panels + j * taps * r.c + tap * r.c * panel_width(cols),
                            w->weight + from * s->c * s->f + j * s->f, s->f, r.c, cols);
    }
    panels += correlation_panels(&r);
  }
}

static void correlate_backward(int thread, int threads, void *context) {
  const job *w = context;
  const float *panels = w->panels;
  for (ptrdiff_t i = 0; i < w->shape.stride * w->shape.stride; i++) {
    ptrdiff_t ky, kx;
    const th_correlation r = backward_of(w, i, panels, &ky, &kx);
    correlate(&r, thread, threads, w->scratch + thread * w->scratch_part);
    panels += correlation_panels(&r);
  }
}

int32_t th_conv_backward_data(float *dx, const float *dy, const float *weight, const int32_t *geometry) {
  job w = {.shape = read_conv_shape(geometry), .in = dy, .weight = weight, .out = dx};
  const th_conv_shape *s = &w.shape;
  const int threads = conv_threads(s);
  if (is_pointwise(s)) {
    const th_gemm g = {.m = s->n * s->h * s->w, .n = s->c, .k = s->f, .a = dy, .lda = s->f, .b = weight, .ldb = s->f,
                       .c = dx, .ldc = s->c, .b_transposed = 1};
    return gemm(&g, threads);
  }
  ptrdiff_t ky, kx, panels = 0;
  for (ptrdiff_t i = 0; i < s->stride * s->stride; i++) {
    const th_correlation r = backward_of(&w, i, NULL, &ky, &kx);
    panels += correlation_panels(&r);
    w.scratch_part = th_max(w.scratch_part, correlation_scratch(&r));
  }
  w.panels = th_work_space(SLOT_PANELS, panels, "convBackwardData");
  w.scratch = th_work_space(SLOT_BANDS, threads * w.scratch_part, "convBackwardData");
  if (!w.panels || !w.scratch) return TH_STATUS_OUT_OF_MEMORY;
  th_parallel(threads, pack_backward, &w);
  th_parallel(threads, correlate_backward, &w);
  return TH_STATUS_OK;
}
