/*
 * Convolution and its data gradient: correlations with the weights, packed.
 *
 * The data gradient correlates dy with the flipped and transposed weights. With a stride, the pixels of dx fall into
 * stride × stride phases, each of which meets its own taps only: one correlation a phase, its output a strided grid.
 */
#include "col2im.h"
#include "conv_winograd_1d.h"
#include "convolve.h"
#include "gemm.h"
#include "pack.h"
#include "phases.h"

enum {
  FEW_PIXELS = 32, /* with so few of them, packing the weights would not pay */
  SLOT_FLIPPED = 1,
};

static th_correlation forward(const th_phases *w, ptrdiff_t index, th_tap *first) {
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

static void pack_forward(const th_phases *w, th_tap at, ptrdiff_t row, ptrdiff_t count, ptrdiff_t column,
                         ptrdiff_t cols, float *panel) {
  const th_conv_shape *s = &w->shape;
  const float *from = w->weight + ((at.ky * s->kw + at.kx) * s->c + row) * s->f + column;
  pack_panel(panel, from, s->f, count, cols);
}

static th_phases forward_job(float *y, const float *x, const float *weight, const float *bias,
                             const th_epilogue *epilogue, const th_conv_shape *shape) {
  return (th_phases){.shape = *shape,
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
static th_gemm forward_product(const th_phases *w) {
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
  th_phases w = forward_job(y, x, weight, bias, epilogue, shape);
  if (th_is_pointwise(shape)) {
    const th_gemm g = forward_product(&w);
    return gemm_share(&g, m);
  }
  return phases_share(&w, counted, m, "conv");
}

int32_t convolve(float *y, const float *x, const float *weight, const float *bias, const th_epilogue *epilogue,
                 const th_conv_shape *shape) {
  const int threads = conv_threads(shape);
  if (winograd_1d_pays(shape, threads)) return convolve_1d(y, x, weight, bias, epilogue, shape);
  th_phases w = forward_job(y, x, weight, bias, epilogue, shape);
  if (!th_is_pointwise(shape)) return phases_run(&w, "conv");
  const th_gemm g = forward_product(&w);
  return gemm(&g, threads);
}

int32_t th_conv(float *y, const float *x, const float *weight, const float *bias, const int32_t *geometry) {
  const th_conv_shape s = th_read_conv_shape(geometry);
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
static th_correlation backward(const th_phases *w, ptrdiff_t index, th_tap *first) {
  const th_conv_shape *s = &w->shape;
  const ptrdiff_t wide = th_min(s->stride, s->w), py = index / wide, px = index % wide, row = s->w * s->c;
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

static void pack_backward(const th_phases *w, th_tap at, ptrdiff_t row, ptrdiff_t count, ptrdiff_t column,
                          ptrdiff_t cols, float *panel) {
  const th_conv_shape *s = &w->shape;
  const float *from = w->weight + ((at.ky * s->kw + at.kx) * s->c + column) * s->f + row;
  pack_panel_transposed(panel, from, s->f, count, cols);
}

/** The data gradient of a convolution without a stride as a convolution of dy with the weights, flipped and transposed. */
static th_conv_shape mirrored(const th_conv_shape *s) {
  return (th_conv_shape){.n = s->n,
                         .h = s->oh,
                         .w = s->ow,
                         .c = s->f,
                         .f = s->c,
                         .kh = s->kh,
                         .kw = s->kw,
                         .stride = 1,
                         .padding = s->kh - 1 - s->padding,
                         .oh = s->h,
                         .ow = s->w};
}

static int32_t mirrored_1d(float *dx, const float *dy, const float *weight, const th_conv_shape *s,
                           const th_conv_shape *m) {
  const ptrdiff_t taps = s->kh * s->kw, size = s->c * s->f;
  float *const flipped = th_work_space(SLOT_FLIPPED, taps * size, "convBackwardData");
  if (!flipped) return TH_STATUS_OUT_OF_MEMORY;
  for (ptrdiff_t t = 0; t < taps; t++)
    transpose(flipped + (taps - 1 - t) * size, s->c, weight + t * size, s->f, s->c, s->f);
  return convolve_1d(dx, dy, flipped, NULL, &(th_epilogue){0}, m);
}

int32_t th_conv_backward_data(float *dx, const float *dy, const float *weight, const int32_t *geometry) {
  th_phases w = {.shape = th_read_conv_shape(geometry),
                 .in = dy,
                 .weight = weight,
                 .out = dx,
                 .phase = backward,
                 .pack = pack_backward};
  const th_conv_shape *s = &w.shape;
  if (s->c <= VL / 2 && s->kh * s->kw > 1) return conv_backward_data_columns(dx, dy, weight, s);
  const th_conv_shape m = mirrored(s);
  if (s->stride == 1 && s->kh == s->kw && m.padding >= 0 && winograd_1d_pays(&m, conv_threads(s)))
    return mirrored_1d(dx, dy, weight, s, &m);
  w.phases = th_min(s->stride, s->h) * th_min(s->stride, s->w), w.tap_step = -s->stride;
  if (!th_is_pointwise(s)) return phases_run(&w, "convBackwardData");
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
