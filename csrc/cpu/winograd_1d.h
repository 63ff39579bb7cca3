/*
 * Winograd's minimal filtering (winograd.h) along columns only, for images of few channels, as a network's first layer reads:
 * transformed in rows, their vectors are full.
 *
 * A tile is 4 rows of an image's output. What it reads are rows of taps, each `stride` rows of pixels; transformed, there is one such
 * row for each of 6 points (5, of windows of two taps), and one of the weights. What belongs to a point is an ordinary
 * convolution: its images are the tiles, as high as its window, and its output is a row. The rows are transformed back.
 * 4 rows of outputs take 20 rows of 7 × 7 windows with a stride of 4, instead of 28.
 */
#ifndef TH_WINOGRAD_1D_H
#define TH_WINOGRAD_1D_H

#include "winograd.h"

typedef struct {
  int first;               /* of taps, samples and points */
  ptrdiff_t points;        /* 6 or 5 */
  ptrdiff_t tiles;         /* of all images */
  ptrdiff_t before, width; /* pixels of a transformed row before the image's first, and all; both are whole vectors */
  ptrdiff_t size;          /* floats of a tile's samples at one point */
} th_winograd_1d;

TH_INLINE th_winograd_1d winograd_1d_of(const th_conv_shape *s) {
  const int first = TAPS - (int)th_ceil_div(s->kh, s->stride);
  const ptrdiff_t before = th_ceil_div(s->padding, VL) * VL, read = (s->ow - 1) * s->stride + s->kw - s->padding;
  const ptrdiff_t width = th_ceil_div(before + th_max(s->w, read), VL) * VL;
  return (th_winograd_1d){.first = first,
                          .points = POINTS - first,
                          .tiles = s->n * th_ceil_div(s->oh, OUTPUTS),
                          .before = before,
                          .width = width,
                          .size = s->stride * width * s->c};
}

/** Where a tile's rows of outputs are: 4, but for the last of an image, which may have fewer. */
typedef struct {
  ptrdiff_t image, y, rows;
} th_output_rows;

TH_INLINE th_output_rows winograd_1d_rows(const th_conv_shape *s, ptrdiff_t tile) {
  const ptrdiff_t tiles = th_ceil_div(s->oh, OUTPUTS), y = tile % tiles * OUTPUTS;
  return (th_output_rows){.image = tile / tiles, .y = y, .rows = th_min(OUTPUTS, s->oh - y)};
}

/** Whether this takes less time, on so many threads, than to compute each output for itself. */
#define winograd_1d_pays TH_ISA_NAME(winograd_1d_pays)
int winograd_1d_pays(const th_conv_shape *s, int threads);

/** Tiles of a block of at most `tiles`: their samples and sums take 192 or 384 KB of the L2 cache. */
TH_INLINE ptrdiff_t winograd_1d_block(const th_conv_shape *s, const th_winograd_1d *w, ptrdiff_t tiles) {
  const ptrdiff_t floats = (VL < 16 ? 48 : 96) * 1024;
  return th_min(tiles, th_max(1, floats / (w->points * (w->size + s->ow * s->f))));
}

/** The convolution of a point's images, as wide as the transformed rows. */
TH_INLINE th_conv_shape point_shape(const th_conv_shape *s, const th_winograd_1d *w, ptrdiff_t tiles) {
  return (th_conv_shape){.n = tiles,
                         .h = s->stride,
                         .w = w->width,
                         .c = s->c,
                         .f = s->f,
                         .kh = s->stride,
                         .kw = s->kw,
                         .stride = s->stride,
                         .oh = 1,
                         .ow = s->ow};
}

/** Transforms what tiles from on, `count` of them, read of x. Those of a point follow one another, `step` floats after those of the
    point before. Only the image's pixels are written. */
#define winograd_1d_samples TH_ISA_NAME(winograd_1d_samples)
void winograd_1d_samples(const th_conv_shape *s, const th_winograd_1d *w, const float *x, ptrdiff_t from,
                         ptrdiff_t count, float *out, ptrdiff_t step);

/** Zeros around them: what windows read beside the image, of `count` tiles. */
#define winograd_1d_borders TH_ISA_NAME(winograd_1d_borders)
void winograd_1d_borders(const th_conv_shape *s, const th_winograd_1d *w, ptrdiff_t count, float *out, ptrdiff_t step);

#endif
