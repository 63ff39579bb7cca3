/* The geometry of a convolution, read from the ABI's int32 array. */
#ifndef TH_CONV_SHAPE_H
#define TH_CONV_SHAPE_H

#include "kernel.h"

/** Images x (n, h, w, c), weight (kh, kw, c, f), y (n, oh, ow, f). */
typedef struct {
  ptrdiff_t n, h, w, c, f, kh, kw, stride, padding, oh, ow;
} th_conv_shape;

TH_INLINE th_conv_shape read_conv_shape(const int32_t *g) {
  th_conv_shape s = {g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], 0, 0};
  s.oh = (s.h + 2 * s.padding - s.kh) / s.stride + 1;
  s.ow = (s.w + 2 * s.padding - s.kw) / s.stride + 1;
  return s;
}

/** Arithmetic of a convolution, taps outside the images counted as if they were inside. */
TH_INLINE double conv_flops(const th_conv_shape *s) {
  return 2.0 * (double)(s->n * s->oh * s->ow) * (double)(s->kh * s->kw) * (double)(s->c * s->f);
}

/** Threads worth their fork for a convolution. */
TH_INLINE int conv_threads(const th_conv_shape *s) { return th_threads_for(conv_flops(s), 4e5); }

/** Each pixel is multiplied by the one tap: a plain matrix product over all pixels. */
TH_INLINE int is_pointwise(const th_conv_shape *s) {
  return s->kh == 1 && s->kw == 1 && s->stride == 1 && s->padding == 0;
}

#endif
