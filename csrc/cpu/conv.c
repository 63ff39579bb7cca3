/*
 * Convolution and its data gradient: correlations with the weights, packed.
 *
 * The data gradient correlates dy with the flipped and transposed weights. With a stride, the pixels of dx fall into
 * stride × stride phases, each of which meets its own taps only: one correlation a phase, its output a strided grid.
 *
 * Threads. Output channels and pixels are cut into a grid, one part a thread, which packs the weights of its own
 * channels: that is cheaper than to read what another core has just written.
 *
 * Windows of two or three times the stride go by Winograd's minimal filtering (winograd.h) where that pays.
 */
#include "col2im.h"
#include "conv_winograd_1d.h"
#include "convolve.h"
#include "correlate.h"
#include "correlate_winograd.h"
#include "gemm.h"
#include "pack.h"
#include "parallel.h"

enum {
  FEW_PIXELS = 32,   /* with so few of them, packing the weights would not pay */
  PHASES_AT_ONCE = 9 /* which share what is copied of the input */
};

typedef struct job job;

/** A tap of the weights. */
typedef struct {
  ptrdiff_t ky, kx;
} tap;

/** The matrix of a tap as a correlation sees it, (its c × its f): rows `row` on, `count` of them, and columns `column` on, `cols`
    ≤ NR of them, as a panel. */
typedef void pack_tap(const job *w, tap at, ptrdiff_t row, ptrdiff_t count, ptrdiff_t column, ptrdiff_t cols,
                      float *panel);

/** A correlation of the job, and how it is computed. */
typedef struct {
  th_correlation r;
  tap first; /* which of the weights is its tap (0, 0) */
  int winograd;
  ptrdiff_t scratch; /* without Winograd's filtering */
} phase;

/** What the threads share. */
struct job {
  th_conv_shape shape;
  const float *in, *weight, *bias;
  th_epilogue epilogue;
  float *out;
  ptrdiff_t phases;
  th_correlation (*phase)(const job *w, ptrdiff_t index, tap *first);
  pack_tap *pack;
  ptrdiff_t tap_step; /* from tap to tap of a correlation, among the weights */
  int counted;        /* threads for which is chosen whether a phase goes by Winograd's filtering */
  phase first;
  ptrdiff_t channel_parts, pixel_parts;
  float *scratch; /* for each thread: packed weights, then the work space of the correlation */
  ptrdiff_t panels, scratch_part;
};

/** Narrows a correlation to the output channels of one part; the first of them. */
static ptrdiff_t take_channels(const job *w, th_correlation *r, ptrdiff_t part) {
  const ptrdiff_t panels = th_ceil_div(r->f, NR), begin = NR * share(panels, part, w->channel_parts);
  r->f = th_min(r->f, NR * share(panels, part + 1, w->channel_parts)) - begin;
  r->y += begin;
  if (r->weights) r->weights += begin;
  if (r->bias) r->bias += begin;
  r->epilogue = epilogue_at(&r->epilogue, begin, 1);
  return begin;
}

/** The weights of a part. */
typedef struct {
  const job *w;
  const th_correlation *r;
  tap first;
  ptrdiff_t channel;
} part_weights;

/** Tap t of the correlation, rows c0 on, channels from j on. */
static void pack_part(const void *context, ptrdiff_t t, ptrdiff_t c0, ptrdiff_t count, ptrdiff_t j, ptrdiff_t cols,
                      float *panel) {
  const part_weights *p = context;
  const ptrdiff_t step = p->w->tap_step;
  const tap at = {p->first.ky + t / p->r->kw * step, p->first.kx + t % p->r->kw * step};
  p->w->pack(p->w, at, c0, count, p->channel + j, cols, panel);
}

/** All of them, as panels of kh · kw · c rows; the end of them. */
static float *pack_panels(const part_weights *p, float *panels) {
  const th_correlation *r = p->r;
  for (ptrdiff_t j = 0; j < r->f; j += NR) {
    const ptrdiff_t cols = th_min(NR, r->f - j), size = r->c * panel_width(cols);
    for (ptrdiff_t t = 0; t < r->kh * r->kw; t++, panels += size) pack_part(p, t, 0, r->c, j, cols, panels);
  }
  return panels;
}

/** The same for Winograd's filtering: tap t is stride × stride pixels, zeros beyond the window; c0 counts a sample's channels. */
static void pack_pixels(const void *context, ptrdiff_t t, ptrdiff_t c0, ptrdiff_t count, ptrdiff_t j, ptrdiff_t cols,
                        float *panel) {
  const th_correlation *r = ((const part_weights *)context)->r;
  const ptrdiff_t stride = r->stride, wide = th_ceil_div(r->kw, stride);
  for (ptrdiff_t i = c0, rows; i < c0 + count; i += rows) {
    const ptrdiff_t pixel = i / r->c, c = i % r->c;
    const ptrdiff_t ky = t / wide * stride + pixel / stride, kx = t % wide * stride + pixel % stride;
    rows = th_min(r->c - c, c0 + count - i);
    if (ky < r->kh && kx < r->kw) pack_part(context, ky * r->kw + kx, c, rows, j, cols, panel);
    else zero_floats(panel, rows * panel_width(cols));
    panel += rows * panel_width(cols);
  }
}

static phase make_phase(const job *w, ptrdiff_t index) {
  phase p;
  p.r = w->phase(w, index, &p.first);
  p.winograd = winograd_pays(&p.r, p.r.f, w->counted);
  p.scratch = p.winograd ? 0 : correlation_scratch(&p.r);
  return p;
}

static phase phase_at(const job *w, ptrdiff_t index) { return index == 0 ? w->first : make_phase(w, index); }

/** The parts of one thread, whose work space begins with `panels`. */
static void run_parts(const job *w, th_member m, float *panels) {
  float *const scratch = panels + w->panels;
  th_correlation phases[PHASES_AT_ONCE];
  for (ptrdiff_t part = m.thread; part < w->channel_parts * w->pixel_parts; part += m.threads) {
    const ptrdiff_t pixel_part = part / w->channel_parts;
    ptrdiff_t count = 0;
    float *free_panels = panels;
    for (ptrdiff_t i = 0; i < w->phases; i++) {
      const phase p = phase_at(w, i);
      th_correlation *r = &phases[count];
      *r = p.r;
      const part_weights weights = {w, r, p.first, take_channels(w, r, part % w->channel_parts)};
      if (p.winograd) {
        correlate_winograd(r, pixel_part, w->pixel_parts, pack_pixels, &weights, scratch);
        continue;
      }
      if (!r->weights) {
        r->weights = free_panels, r->tap_columns = r->kw;
        free_panels = pack_panels(&weights, free_panels);
      }
      if (++count < PHASES_AT_ONCE) continue;
      correlate(phases, count, pixel_part, w->pixel_parts, scratch);
      count = 0, free_panels = panels;
    }
    correlate(phases, count, pixel_part, w->pixel_parts, scratch);
  }
}

/** Cuts the work for so many threads. Winograd's filtering is chosen if it pays on `counted` of them. */
static void plan(job *w, int threads, int counted) {
  w->counted = counted;
  w->first = make_phase(w, 0);
  const th_correlation *r0 = &w->first.r;
  const ptrdiff_t pixels = r0->n * r0->oh * r0->ow;
  /* Copying a float takes the time of about 12 products. */
  const double copied = w->first.scratch ? 12.0 * (double)(r0->n * r0->h * r0->w) : 0;
  w->channel_parts = w->first.winograd ? choose_column_parts(winograd_tiles(r0), r0->f, threads, 6)
                                       : choose_column_parts(pixels, r0->f, threads,
                                                             copied / (double)th_max(1, pixels * r0->kh * r0->kw));
  w->pixel_parts = threads / w->channel_parts;
  ptrdiff_t bands = 0;
  for (ptrdiff_t part = 0; part < w->channel_parts; part++) {
    ptrdiff_t panels = 0;
    for (ptrdiff_t i = 0; i < w->phases; i++) {
      phase p = phase_at(w, i);
      take_channels(w, &p.r, part);
      if (!p.r.weights && !p.winograd) panels += p.r.kh * p.r.kw * p.r.c * th_ceil_div(p.r.f, NR) * NR;
      bands = th_max(bands, p.winograd ? winograd_scratch(&p.r, w->pixel_parts) : p.scratch);
    }
    w->panels = th_max(w->panels, th_ceil_div(panels, 16) * 16);
  }
  w->scratch_part = th_own_floats(w->panels + bands);
}

static void run_forked(int thread, int threads, void *context) {
  const job *w = context;
  run_parts(w, (th_member){thread, threads}, w->scratch + thread * w->scratch_part);
}

static int32_t run(job *w, const char *operation) {
  const int threads = conv_threads(&w->shape);
  plan(w, threads, threads);
  w->scratch = th_work_space(0, threads * w->scratch_part, operation);
  if (!w->scratch) return TH_STATUS_OUT_OF_MEMORY;
  th_parallel(threads, run_forked, w);
  return TH_STATUS_OK;
}

static th_correlation forward(const job *w, ptrdiff_t index, tap *first) {
  const th_conv_shape *s = &w->shape;
  (void)index;
  th_correlation r = correlation_of(s, w->in);
  r.y = w->out, r.f = r.all_f = s->f;
  r.y_image = s->oh * s->ow * s->f, r.y_row = s->ow * s->f, r.y_pixel = s->f;
  r.bias = w->bias, r.epilogue = w->epilogue;
  correlation_trim(&r, &first->ky, &first->kx);
  const ptrdiff_t pixels = s->n * s->oh * s->ow;
  const int one_panel = s->f == NR || s->f == VL, one_row = pixels == 1 && s->f > NR;
  if (one_panel || one_row || (pixels <= FEW_PIXELS && s->f % VL == 0 && reads_in_place(s->f))) {
    r.weights = w->weight + (first->ky * s->kw + first->kx) * s->c * s->f;
    r.row = s->f, r.tap_columns = s->kw;
  }
  return r;
}

static void pack_forward(const job *w, tap at, ptrdiff_t row, ptrdiff_t count, ptrdiff_t column, ptrdiff_t cols,
                         float *panel) {
  const th_conv_shape *s = &w->shape;
  const float *from = w->weight + ((at.ky * s->kw + at.kx) * s->c + row) * s->f + column;
  pack_panel(panel, from, s->f, count, cols);
}

static job forward_job(float *y, const float *x, const float *weight, const float *bias, const th_epilogue *epilogue,
                       const th_conv_shape *shape) {
  return (job){.shape = *shape,
               .in = x,
               .weight = weight,
               .bias = bias,
               .epilogue = *epilogue,
               .out = y,
               .phases = 1,
               .phase = forward,
               .pack = pack_forward,
               .tap_step = 1};
}

/** A pointwise convolution. */
static th_gemm forward_product(const job *w) {
  const th_conv_shape *s = &w->shape;
  return (th_gemm){.m = s->n * s->h * s->w,
                   .n = s->f,
                   .k = s->c,
                   .a = w->in,
                   .lda = s->c,
                   .b = w->weight,
                   .ldb = s->f,
                   .c = w->out,
                   .ldc = s->f,
                   .bias = w->bias,
                   .epilogue = w->epilogue};
}

int32_t convolve_share(float *y, const float *x, const float *weight, const float *bias, const th_epilogue *epilogue,
                       const th_conv_shape *shape, int counted, th_member m) {
  if (winograd_1d_pays(shape, counted)) return convolve_1d_share(y, x, weight, bias, epilogue, shape, m);
  job w = forward_job(y, x, weight, bias, epilogue, shape);
  if (is_pointwise(shape)) {
    const th_gemm g = forward_product(&w);
    return gemm_share(&g, m);
  }
  plan(&w, m.threads, counted);
  float *const scratch = th_work_space(0, w.scratch_part, "conv");
  if (!scratch) return TH_STATUS_OUT_OF_MEMORY;
  run_parts(&w, m, scratch);
  return TH_STATUS_OK;
}

int32_t convolve(float *y, const float *x, const float *weight, const float *bias, const th_epilogue *epilogue,
                 const th_conv_shape *shape) {
  const int threads = conv_threads(shape);
  if (winograd_1d_pays(shape, threads)) return convolve_1d(y, x, weight, bias, epilogue, shape);
  job w = forward_job(y, x, weight, bias, epilogue, shape);
  if (!is_pointwise(shape)) return run(&w, "conv");
  const th_gemm g = forward_product(&w);
  return gemm(&g, threads);
}

int32_t th_conv(float *y, const float *x, const float *weight, const float *bias, const int32_t *geometry) {
  const th_conv_shape s = read_conv_shape(geometry);
  return convolve(y, x, weight, bias, &(th_epilogue){0}, &s);
}

/** One axis of a phase: pixels phase, phase + stride, … of dx meet taps …, last - stride, last. */
typedef struct {
  ptrdiff_t pixels, taps, last, before;
} phase_axis;

static phase_axis phase_of_axis(ptrdiff_t phase, ptrdiff_t size, ptrdiff_t taps, ptrdiff_t stride, ptrdiff_t padding) {
  const ptrdiff_t first = (phase + padding) % stride;
  phase_axis p = {.pixels = th_max(0, th_ceil_div(size - phase, stride)),
                  .taps = first < taps ? th_ceil_div(taps - first, stride) : 0};
  p.last = first + (p.taps - 1) * stride;
  p.before = p.taps ? p.taps - 1 - (phase + padding - first) / stride : 0;
  return p;
}

/** A phase of the data gradient: its tap (y, x) is tap (ky - y · stride, kx - x · stride) of the weights. */
static th_correlation backward(const job *w, ptrdiff_t index, tap *first) {
  const th_conv_shape *s = &w->shape;
  const ptrdiff_t py = index / s->stride, px = index % s->stride, row = s->w * s->c;
  const phase_axis v = phase_of_axis(py, s->h, s->kh, s->stride, s->padding);
  const phase_axis u = phase_of_axis(px, s->w, s->kw, s->stride, s->padding);
  th_correlation r = {.x = w->in,
                      .n = s->n,
                      .h = s->oh,
                      .w = s->ow,
                      .c = s->f,
                      .x_image = s->oh * s->ow * s->f,
                      .x_row = s->ow * s->f,
                      .x_pixel = s->f,
                      .kh = v.taps,
                      .kw = u.taps,
                      .stride = 1,
                      .top = v.before,
                      .left = u.before,
                      .y = w->out + py * row + px * s->c,
                      .oh = v.pixels,
                      .ow = u.pixels,
                      .f = s->c,
                      .all_f = s->c,
                      .y_image = s->h * row,
                      .y_row = s->stride * row,
                      .y_pixel = s->stride * s->c};
  correlation_trim(&r, &first->ky, &first->kx);
  first->ky = v.last - first->ky * s->stride;
  first->kx = u.last - first->kx * s->stride;
  return r;
}

static void pack_backward(const job *w, tap at, ptrdiff_t row, ptrdiff_t count, ptrdiff_t column, ptrdiff_t cols,
                          float *panel) {
  const th_conv_shape *s = &w->shape;
  const float *from = w->weight + ((at.ky * s->kw + at.kx) * s->c + column) * s->f + row;
  pack_panel_transposed(panel, from, s->f, count, cols);
}

int32_t th_conv_backward_data(float *dx, const float *dy, const float *weight, const int32_t *geometry) {
  job w = {.shape = read_conv_shape(geometry),
           .in = dy,
           .weight = weight,
           .out = dx,
           .phase = backward,
           .pack = pack_backward};
  const th_conv_shape *s = &w.shape;
  if (s->c <= VL / 2 && s->kh * s->kw > 1) return conv_backward_data_columns(dx, dy, weight, s);
  w.phases = s->stride * s->stride, w.tap_step = -s->stride;
  if (!is_pointwise(s)) return run(&w, "convBackwardData");
  const th_gemm g = {.m = s->n * s->h * s->w,
                     .n = s->c,
                     .k = s->f,
                     .a = dy,
                     .lda = s->f,
                     .b = weight,
                     .ldb = s->f,
                     .c = dx,
                     .ldc = s->c,
                     .b_transposed = 1};
  return gemm(&g, conv_threads(s));
}
