/*
 * The weight gradient: for each tap, dweight (c, f) = the product of the transposed input pixels (c × pixels) that the
 * tap meets with dy (pixels × f). A tile's K runs over (image, y, x) right in the images, so nothing is gathered.
 *
 * Pixels are cut into blocks, so that a packed panel of dy stays in the L1 cache while all taps and channels use it.
 * Threads take panels of dy (columns of dweight) and, where those are too few, blocks of pixels too: then each sums into
 * an array of its own, and a second pass adds those up in order.
 *
 * Windows of two or three times the stride go by Winograd's minimal filtering where that pays; then blocks are its tiles.
 */
#include "conv_weight.h"

#include "conv_weight_winograd.h"
#include "conv_winograd_1d.h"
#include "pack.h"
#include "parallel.h"

#include <string.h>

enum {
  SLOT_PANELS = 0,
  SLOT_BANDS = 1,
  SLOT_SUMS = 2,
};

/** What the threads share. */
typedef struct {
  th_conv_shape shape;
  const float *x, *dy;
  float *dweight, *dbias;
  /* A tile's rows are the channels of one tap or, where that is possible, of all kw taps of a row. */
  ptrdiff_t run;
  ptrdiff_t ky0, ky1, kx0, kx1; /* the taps that meet the image at all; the gradient of the others is zero */
  int copies_bands;             /* with a border of zeros at the sides, which makes it possible in spite of padding */
  ptrdiff_t band_width, band_floats;
  ptrdiff_t block_n, block_h, block_w, blocks; /* size and number of the blocks of pixels */
  int winograd;                                /* blocks are its tiles */
  ptrdiff_t panel_parts, block_parts;          /* how threads share the work */
  float *bands, *panels, *sums;
  ptrdiff_t panels_size, sums_size;
  int finishes; /* a second pass, after all sums */
} job;

/** A block of pixels: images n0 to n1, rows and columns of the output. */
typedef struct {
  ptrdiff_t n0, n1, y0, y1, x0, x1;
} block;

static block block_at(const job *w, ptrdiff_t index) {
  const th_conv_shape *s = &w->shape;
  const ptrdiff_t wide = th_ceil_div(s->ow, w->block_w), high = th_ceil_div(s->oh, w->block_h);
  block b = {
      .x0 = index % wide * w->block_w, .y0 = index / wide % high * w->block_h, .n0 = index / wide / high * w->block_n};
  b.n1 = th_min(s->n, b.n0 + w->block_n), b.y1 = th_min(s->oh, b.y0 + w->block_h),
  b.x1 = th_min(s->ow, b.x0 + w->block_w);
  return b;
}

/** The taps begin to end that lie in the image for some output position: 0 ≤ position - padding + tap < size. */
static void visible_taps(ptrdiff_t *begin, ptrdiff_t *end, ptrdiff_t taps, ptrdiff_t padding, ptrdiff_t last,
                         ptrdiff_t size) {
  *begin = th_min(taps, th_max(0, padding - last));
  *end = th_max(*begin, th_min(taps, size + padding));
}

static void plan_blocks(job *w) {
  const th_conv_shape *s = &w->shape;
  w->block_w = th_ceil_div(s->ow, th_ceil_div(s->ow, WEIGHT_GRADIENT_PIXELS));
  w->block_h = w->block_w < s->ow ? 1 : th_min(s->oh, WEIGHT_GRADIENT_PIXELS / s->ow);
  w->block_n = w->block_h < s->oh ? 1 : th_max(1, th_min(s->n, WEIGHT_GRADIENT_PIXELS / (s->oh * s->ow)));
  w->blocks = th_ceil_div(s->ow, w->block_w) * th_ceil_div(s->oh, w->block_h) * th_ceil_div(s->n, w->block_n);

  const int merges = s->kw > 1 && (s->padding == 0 || s->c < MR);
  w->run = merges ? s->kw * s->c : s->c;
  visible_taps(&w->ky0, &w->ky1, s->kh, s->padding, (s->oh - 1) * s->stride, s->h);
  visible_taps(&w->kx0, &w->kx1, s->kw, s->padding, (s->ow - 1) * s->stride, s->w);
  if (merges) w->kx0 = 0, w->kx1 = 1;
  w->copies_bands = merges && s->padding > 0;
  w->band_width = (w->block_w - 1) * s->stride + s->kw;
  w->band_floats =
      w->copies_bands ? w->block_n * th_min(s->h, (w->block_h - 1) * s->stride + s->kh) * w->band_width * s->c : 0;
  w->band_floats = th_own_floats(w->band_floats);
}

/** The images as tiles read them: x itself, or a copy of the part that a block meets. */
typedef struct {
  const float *x;
  ptrdiff_t h, w, top, left; /* top and left: as padding, may be less than zero */
  ptrdiff_t first;           /* image at x */
} source;

static source copy_band(const job *w, const block *b, float *out) {
  const th_conv_shape *s = &w->shape;
  const ptrdiff_t begin = b->y0 * s->stride - s->padding, end = (b->y1 - 1) * s->stride - s->padding + s->kh;
  const ptrdiff_t iy0 = th_min(s->h, th_max(0, begin)), iy1 = th_max(iy0, th_min(s->h, end));
  const ptrdiff_t from = b->x0 * s->stride - s->padding, width = w->band_width;
  const ptrdiff_t before = th_min(width, th_max(0, -from)), skip = th_min(s->w, th_max(0, from));
  const ptrdiff_t inside = th_max(0, th_min(width - before, s->w - skip)), after = width - before - inside;
  const source copy = {
      .x = out, .h = iy1 - iy0, .w = width, .top = s->padding + iy0, .left = s->padding + from, .first = b->n0};
  for (ptrdiff_t n = b->n0; n < b->n1; n++)
    for (ptrdiff_t y = iy0; y < iy1; y++, out += width * s->c) {
      zero_floats(out, before * s->c);
      copy_floats(out + before * s->c, w->x + ((n * s->h + y) * s->w + skip) * s->c, inside * s->c);
      zero_floats(out + (before + inside) * s->c, after * s->c);
    }
  return copy;
}

/** dy of a block, columns j on, as one packed panel; what is a panel already is used where it lies. Sets the steps in it. */
static const float *panel_of(const job *w, const block *b, ptrdiff_t j, float *packed, ptrdiff_t step[3]) {
  const th_conv_shape *s = &w->shape;
  const ptrdiff_t cols = th_min(NR, s->f - j), width = panel_width(cols), row = (b->x1 - b->x0) * width;
  if (s->f == width) {
    step[0] = s->oh * s->ow * width, step[1] = s->ow * width, step[2] = width;
    return w->dy + (b->n0 * s->oh + b->y0) * step[1] + b->x0 * width;
  }
  step[0] = (b->y1 - b->y0) * row, step[1] = row, step[2] = width;
  float *out = packed;
  for (ptrdiff_t n = b->n0; n < b->n1; n++)
    for (ptrdiff_t y = b->y0; y < b->y1; y++, out += row)
      pack_panel(out, w->dy + ((n * s->oh + y) * s->ow + b->x0) * s->f + j, s->f, b->x1 - b->x0, cols);
  return packed;
}

/** Adds the column sums of a panel to dbias, or starts with them. */
static void add_bias(const block *b, const float *panel, const ptrdiff_t step[3], ptrdiff_t cols, float *dbias,
                     int accumulate) {
  vec sum[2] = {{0}, {0}};
  for (ptrdiff_t n = 0; n < b->n1 - b->n0; n++)
    for (ptrdiff_t y = 0; y < b->y1 - b->y0; y++)
      for (ptrdiff_t x = 0; x < b->x1 - b->x0; x++) {
        const float *p = panel + n * step[0] + y * step[1] + x * step[2];
        sum[0] += vec_load(p);
        if (cols > VL) sum[1] += vec_load(p + VL);
      }
  float columns[NR];
  vec_store(columns, sum[0]), vec_store(columns + VL, sum[1]);
  for (ptrdiff_t i = 0; i < cols; i++) dbias[i] = accumulate ? dbias[i] + columns[i] : columns[i];
}

/** The output positions in [begin, end) whose tap lies in the input: 0 ≤ position · stride + offset < size. */
static void clip(ptrdiff_t *begin, ptrdiff_t *end, ptrdiff_t stride, ptrdiff_t offset, ptrdiff_t size) {
  if (offset < 0) *begin = th_max(*begin, th_ceil_div(-offset, stride));
  *end = offset >= size ? *begin : th_min(*end, (size - 1 - offset) / stride + 1);
  *end = th_max(*begin, *end);
}

/** Adds a block's share of dweight, columns j on; stores it if this is the first. */
static void multiply_block(const job *w, const block *b, const source *in, ptrdiff_t j, const float *panel,
                           const ptrdiff_t step[3], float *dweight, int accumulate) {
  const th_conv_shape *s = &w->shape;
  const ptrdiff_t cols = th_min(NR, s->f - j);
  if (s->c == 0) return; /* the bias alone has a gradient */
  for (ptrdiff_t ky = w->ky0; ky < w->ky1; ky++)
    for (ptrdiff_t kx = w->kx0; kx < w->kx1; kx++) {
      ptrdiff_t y0 = b->y0, y1 = b->y1, x0 = b->x0, x1 = b->x1;
      clip(&y0, &y1, s->stride, ky - in->top, in->h);
      if (w->run == s->c) clip(&x0, &x1, s->stride, kx - in->left, in->w);
      const int empty = y0 >= y1 || x0 >= x1;
      if (empty && accumulate) continue;
      th_walk walk = {.outer = {empty ? 0 : b->n1 - b->n0, in->h * in->w * s->c, step[0]},
                      .middle = {y1 - y0, s->stride * in->w * s->c, step[1]},
                      .inner = {x1 - x0, s->stride * s->c, step[2]},
                      .a_row = 1,
                      .ldc = s->f,
                      .form = TH_COLUMNS};
      walk_simplify(&walk);
      const ptrdiff_t iy = y0 * s->stride - in->top + ky, ix = x0 * s->stride - in->left + kx;
      const float *a = empty ? in->x : in->x + (((b->n0 - in->first) * in->h + iy) * in->w + ix) * s->c;
      const float *q = empty ? panel : panel + (y0 - b->y0) * step[1] + (x0 - b->x0) * step[2];
      float *out = dweight + (ky * s->kw + kx) * s->c * s->f + j;
      multiply_rows(&walk, a, q, out, w->run, cols, NULL, accumulate);
    }
}

/** A block's share of columns begin to end of dweight and, unless it is NULL, of dbias. */
static void sum_block(const job *w, const block *b, const source *in, ptrdiff_t begin, ptrdiff_t end, float *packed,
                      float *dweight, float *dbias, int accumulate) {
  for (ptrdiff_t j = begin; j < end; j += NR) {
    ptrdiff_t step[3];
    const float *panel = panel_of(w, b, j, packed, step);
    if (dbias) add_bias(b, panel, step, th_min(NR, w->shape.f - j), dbias + j, accumulate);
    multiply_block(w, b, in, j, panel, step, dweight, accumulate);
  }
}

/** The sums of one thread, over some of the blocks and for some of the panels. Those of the first blocks are made in place. */
static void sum_blocks(int thread, int threads, const job *w) {
  const th_conv_shape *s = &w->shape;
  const ptrdiff_t panels = th_ceil_div(s->f, NR), weights = s->kh * s->kw * s->c * s->f;
  float *const packed = w->panels + thread * w->panels_size;
  float *const band = w->bands + thread * w->band_floats;
  for (ptrdiff_t part = thread; part < w->panel_parts * w->block_parts; part += threads) {
    const ptrdiff_t p = part % w->panel_parts, q = part / w->panel_parts;
    const ptrdiff_t first = th_split(w->blocks, q, w->block_parts), last = th_split(w->blocks, q + 1, w->block_parts);
    float *const dweight = q ? w->sums + (q - 1) * w->sums_size : w->dweight;
    float *const dbias = !w->dbias ? NULL : q ? dweight + weights : w->dbias;
    const ptrdiff_t begin = NR * th_split(panels, p, w->panel_parts);
    const ptrdiff_t end = th_min(s->f, NR * th_split(panels, p + 1, w->panel_parts));
    if (w->winograd) {
      weight_gradient_winograd(s, w->x, w->dy, first, last, begin, end, dweight, dbias, packed);
      continue;
    }
    for (ptrdiff_t i = first; i < last; i++) {
      const block b = block_at(w, i);
      const source in =
          w->copies_bands ? copy_band(w, &b, band) : (source){w->x, s->h, s->w, s->padding, s->padding, 0};
      sum_block(w, &b, &in, begin, end, packed, dweight, dbias, i > first);
    }
  }
}

void weight_gradient_sum(const th_conv_shape *s, const float *x, const float *dy, float *dweight, int accumulate,
                         float *packed) {
  job w = {.shape = *s, .x = x, .dy = dy};
  const source in = {x, s->h, s->w, 0, 0, 0};
  plan_blocks(&w);
  for (ptrdiff_t i = 0; i < w.blocks; i++) {
    const block b = block_at(&w, i);
    sum_block(&w, &b, &in, 0, s->f, packed, dweight, NULL, accumulate || i > 0);
  }
}

/** Taps on all threads: the sums of the other parts are added, or zeros stored. */
static void finish_taps(int thread, int threads, const job *w) {
  const th_conv_shape *s = &w->shape;
  const ptrdiff_t row = s->c * s->f, weights = s->kh * s->kw * row;
  for (ptrdiff_t tap = th_split(s->kh * s->kw, thread, threads); tap < th_split(s->kh * s->kw, thread + 1, threads);
       tap++) {
    const ptrdiff_t ky = tap / s->kw, kx = tap % s->kw;
    float *out = w->dweight + tap * row;
    if (ky < w->ky0 || ky >= w->ky1 || (w->run == s->c && (kx < w->kx0 || kx >= w->kx1)))
      memset(out, 0, sizeof(float) * (size_t)row);
    else
      for (ptrdiff_t q = 0; q < w->block_parts - 1; q++) add_floats(out, w->sums + q * w->sums_size + tap * row, row);
  }
  for (ptrdiff_t q = 0; w->dbias && thread == 0 && q < w->block_parts - 1; q++)
    add_floats(w->dbias, w->sums + q * w->sums_size + weights, s->f);
}

static void run(int thread, int threads, void *context) {
  const job *w = context;
  sum_blocks(thread, threads, w);
  if (!w->finishes) return;
#pragma omp barrier
  finish_taps(thread, threads, w);
}

/** As many parts of the panels as divide the threads and leave none with much less than the others; the rest of the
    threads share out the blocks. Where the images are much larger than the weights, all of them do: each part of the
    panels reads all images, which costs more than to add up sums. */
static void plan_parts(job *w, ptrdiff_t threads) {
  const th_conv_shape *s = &w->shape;
  const ptrdiff_t panels = th_ceil_div(s->f, NR), weights = s->kh * s->kw * s->c * s->f;
  const ptrdiff_t most = s->n * s->h * s->w * s->c > 8 * weights ? 1 : threads;
  for (ptrdiff_t parts = 1; parts <= most; parts++)
    if (threads % parts == 0 && 10 * panels >= 9 * parts * th_ceil_div(panels, parts)) w->panel_parts = parts;
  w->block_parts = th_min(threads / w->panel_parts, w->blocks);
  w->sums_size = th_own_floats(weights + s->f);
}

int32_t th_conv_backward_weight(float *dweight, float *dbias, const float *x, const float *dy,
                                const int32_t *geometry) {
  job w = {.shape = th_read_conv_shape(geometry), .x = x, .dy = dy, .dweight = dweight, .dbias = dbias};
  const th_conv_shape *s = &w.shape;
  if (s->n == 0 || s->oh == 0 || s->ow == 0) {
    zero_floats(dweight, s->kh * s->kw * s->c * s->f);
    if (dbias) zero_floats(dbias, s->f);
    return TH_STATUS_OK;
  }
  if (s->f == 0) return TH_STATUS_OK;
  const int threads = conv_threads(s);
  if (winograd_1d_pays(s, threads)) return weight_gradient_1d(dweight, dbias, x, dy, s);
  plan_blocks(&w);
  const int all_visible = w.ky0 == 0 && w.ky1 == s->kh && (w.run > s->c || (w.kx0 == 0 && w.kx1 == s->kw));
  const th_correlation input = correlation_of(s, x);
  w.winograd = all_visible && winograd_pays(&input, s->f, threads);
  if (w.winograd) w.blocks = winograd_tiles(&input);
  plan_parts(&w, threads);
  const ptrdiff_t columns = NR * th_ceil_div(th_ceil_div(s->f, NR), w.panel_parts);
  w.panels_size = th_own_floats(w.winograd ? winograd_weight_scratch(s, columns) : WEIGHT_GRADIENT_PIXELS * NR);
  w.panels = th_work_space(SLOT_PANELS, threads * w.panels_size, "convBackwardWeight");
  w.bands = th_work_space(SLOT_BANDS, threads * w.band_floats, "convBackwardWeight");
  w.sums = th_work_space(SLOT_SUMS, (w.block_parts - 1) * w.sums_size, "convBackwardWeight");
  if (!w.panels || !w.bands || !w.sums) return TH_STATUS_OUT_OF_MEMORY;
  w.finishes = w.block_parts > 1 || !all_visible;
  th_parallel(threads, run, &w);
  return TH_STATUS_OK;
}
