/*
 * Correlation, the one operation behind the forward convolution and its data gradient: each output pixel is the sum,
 * over a window of kh × kw taps, of the products of an input pixel's channels with that tap's c × f matrix.
 */
#ifndef TH_CORRELATE_H
#define TH_CORRELATE_H

#include "conv_cost.h"
#include "microkernel.h"

/** Images and what lies around them are read as zero. */
typedef struct {
  /* The input x (n, h, w, c); the distances between two images, rows and pixels. */
  const float *x;
  ptrdiff_t n, h, w, c, x_image, x_row, x_pixel;
  /* Output pixel (oy, ox) and tap (ky, kx) meet input pixel (oy · stride - top + ky, ox · stride - left + kx). */
  ptrdiff_t kh, kw, stride, top, left;
  /* The output: oh × ow pixels of f channels; the distances between two images, rows and pixels. */
  float *y;
  ptrdiff_t oh, ow, f, y_image, y_row, y_pixel;
  /* The channels of all parts that the output was cut into: how it is computed depends on them, so that no bit depends on
     the cut. */
  ptrdiff_t all_f;
  /* The weights (kh, kw, c, f): as panels (pack.h) of kh · kw · c rows, or where `row` is not 0 as they are, with rows that
     many floats apart and tap_columns taps from one row of taps to the next. */
  const float *weights;
  ptrdiff_t row, tap_columns;
  /* (f), or NULL for none. */
  const float *bias;
  th_epilogue epilogue;
} th_correlation;

/** A convolution of x as a correlation, without its output and weights. */
TH_INLINE th_correlation correlation_of(const th_conv_shape *s, const float *x) {
  return (th_correlation){.x = x,
                          .n = s->n,
                          .h = s->h,
                          .w = s->w,
                          .c = s->c,
                          .x_image = s->h * s->w * s->c,
                          .x_row = s->w * s->c,
                          .x_pixel = s->c,
                          .kh = s->kh,
                          .kw = s->kw,
                          .stride = s->stride,
                          .top = s->padding,
                          .left = s->padding,
                          .oh = s->oh,
                          .ow = s->ow};
}

/** Drops the taps that meet no input pixel from any output pixel; the number dropped at the top and at the left. */
#define correlation_trim TH_ISA_NAME(correlation_trim)
void correlation_trim(th_correlation *r, ptrdiff_t *dropped_y, ptrdiff_t *dropped_x);

/** Floats of work space that one call of correlate needs, a multiple of 16. */
#define correlation_scratch TH_ISA_NAME(correlation_scratch)
ptrdiff_t correlation_scratch(const th_correlation *r);

/** Part `part` of the pixels of each of the outputs, of `count` parts: `number` correlations of the same input with as many
    channels each. What they read of it is copied once for all where it must be copied. */
#define correlate TH_ISA_NAME(correlate)
void correlate(const th_correlation *r, ptrdiff_t number, ptrdiff_t part, ptrdiff_t count, float *scratch);

#endif
