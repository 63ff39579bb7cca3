/*
 * The data gradient of a convolution of few channels, such as that of the first layer: one matrix product gives what each
 * pixel of dy adds to the window that it came from (im2col's columns), and col2im adds the windows up. As a correlation its
 * output would fill only 3 of 16 lanes.
 *
 * Threads. Each owns some rows of dx and computes all columns that reach them: those at its edges are computed twice.
 */
#include "col2im.h"

#include "gemm.h"
#include "parallel.h"

enum { COLUMN_FLOATS = 64 * 1024 }; /* of the pixels at a time: 256 KB of the L2 cache */

typedef struct {
  th_conv_shape shape;
  float *dx;
  const float *dy, *weight;
  float *scratch; /* for each thread: columns, then the work space of the product */
  ptrdiff_t band, columns, scratch_part;
} job;

/** The product of `rows` rows of dy, from the first on, with the weights: (rows · ow, kh · kw · c). */
static th_gemm columns_of(const th_conv_shape *s, const float *dy, const float *weight, ptrdiff_t rows, float *out) {
  return (th_gemm){.m = rows * s->ow,
                   .n = s->kh * s->kw * s->c,
                   .k = s->f,
                   .a = dy,
                   .lda = s->f,
                   .b = weight,
                   .ldb = s->f,
                   .c = out,
                   .ldc = s->kh * s->kw * s->c,
                   .b_transposed = 1};
}

/** Adds the columns of row oy of dy to rows y0 to y1 of an image of dx. */
static void add_windows(const th_conv_shape *s, float *dx, const float *columns, ptrdiff_t oy, ptrdiff_t y0,
                        ptrdiff_t y1) {
  const ptrdiff_t iy = oy * s->stride - s->padding, row = s->kw * s->c;
  const ptrdiff_t ky0 = th_max(0, y0 - iy), ky1 = th_min(s->kh, y1 - iy);
  for (ptrdiff_t ky = ky0; ky < ky1; ky++)
    for (ptrdiff_t ox = 0; ox < s->ow; ox++) {
      const ptrdiff_t ix = ox * s->stride - s->padding;
      const ptrdiff_t kx0 = th_max(0, -ix), kx1 = th_min(s->kw, s->w - ix);
      if (kx0 >= kx1) continue;
      const float *from = columns + (ox * s->kh + ky) * row + kx0 * s->c;
      add_floats(dx + ((iy + ky) * s->w + ix + kx0) * s->c, from, (kx1 - kx0) * s->c);
    }
}

/** Rows y0 to y1 of one image. */
static void sum_rows(const job *w, ptrdiff_t image, ptrdiff_t y0, ptrdiff_t y1, float *scratch) {
  const th_conv_shape *s = &w->shape;
  float *const dx = w->dx + image * s->h * s->w * s->c;
  const float *const dy = w->dy + image * s->oh * s->ow * s->f;
  zero_floats(dx + y0 * s->w * s->c, (y1 - y0) * s->w * s->c);
  /* Row oy of dy reaches rows oy · stride - padding to that + kh of dx. */
  const ptrdiff_t first = th_max(0, th_ceil_div(th_max(0, y0 + s->padding - s->kh + 1), s->stride));
  const ptrdiff_t last = th_min(s->oh, (y1 - 1 + s->padding) / s->stride + 1);
  for (ptrdiff_t oy = first; oy < last; oy += w->band) {
    const ptrdiff_t rows = th_min(w->band, last - oy);
    const th_gemm g = columns_of(s, dy + oy * s->ow * s->f, w->weight, rows, scratch);
    const th_blocking plan = gemm_plan(&g, &g);
    gemm_serial(&g, &plan, scratch + w->columns);
    for (ptrdiff_t r = 0; r < rows; r++) add_windows(s, dx, scratch + r * s->ow * g.n, oy + r, y0, y1);
  }
}

static void sum_share(int thread, int threads, void *context) {
  const job *w = context;
  const ptrdiff_t h = w->shape.h, rows = w->shape.n * h, end = th_split(rows, thread + 1, threads);
  for (ptrdiff_t at = th_split(rows, thread, threads), next; at < end; at = next) {
    next = th_min(end, (at / h + 1) * h);
    sum_rows(w, at / h, at % h, next - at / h * h, w->scratch + thread * w->scratch_part);
  }
}

int32_t conv_backward_data_columns(float *dx, const float *dy, const float *weight, const th_conv_shape *shape) {
  const th_conv_shape *s = shape;
  const int threads = conv_threads(s);
  job w = {.shape = *s, .dx = dx, .dy = dy, .weight = weight};
  const ptrdiff_t row = th_max(1, s->ow * s->kh * s->kw * s->c);
  w.band = th_min(th_max(1, s->oh), th_max(1, COLUMN_FLOATS / row));
  w.columns = th_ceil_div(w.band * row, 16) * 16;
  for (ptrdiff_t rows = 1; rows <= w.band; rows++) { /* the last band may be planned in another way */
    const th_gemm g = columns_of(s, dy, weight, rows, dx);
    w.scratch_part = th_max(w.scratch_part, gemm_plan(&g, &g).scratch);
  }
  w.scratch_part = th_own_floats(w.columns + w.scratch_part);
  w.scratch = th_work_space(0, threads * w.scratch_part, "convBackwardData");
  if (!w.scratch) return TH_STATUS_OUT_OF_MEMORY;
  th_parallel(threads, sum_share, &w);
  return TH_STATUS_OK;
}
