/* Windows over NHWC images: the geometry of convolution and pooling, read from the ABI's int32 arrays. */
#ifndef TH_COMMON_WINDOW_H
#define TH_COMMON_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#include "vmath.h"

#ifdef __cplusplus /* csrc/cuda: 64 bits would take a GPU several instructions each */
typedef int32_t th_index;
#else
typedef ptrdiff_t th_index;
#endif

/** Windows along an axis of `size`. */
static inline th_index th_count_windows(th_index size, th_index k, th_index stride, th_index padding) {
  return (size + 2 * padding - k) / stride + 1;
}

/** Images x (n, h, w, c), weight (kh, kw, c, f), y (n, oh, ow, f). */
typedef struct {
  th_index n, h, w, c, f, kh, kw, stride, padding, oh, ow;
} th_conv_shape;

static inline th_conv_shape th_read_conv_shape(const int32_t *g) {
  th_conv_shape s = {g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], 0, 0};
  s.oh = th_count_windows(s.h, s.kh, s.stride, s.padding);
  s.ow = th_count_windows(s.w, s.kw, s.stride, s.padding);
  return s;
}

/** Each pixel is multiplied by the one tap: a plain matrix product over all pixels. */
static inline int th_is_pointwise(const th_conv_shape *s) {
  return s->kh == 1 && s->kw == 1 && s->stride == 1 && s->padding == 0;
}

/** Images x (n, h, w, c), y (n, oh, ow, c). */
typedef struct {
  th_index n, h, w, c, k, stride, padding, oh, ow;
} th_pool_shape;

static inline th_pool_shape th_read_pool_shape(const int32_t *g) {
  th_pool_shape s = {g[0], g[1], g[2], g[3], g[4], g[5], g[6], 0, 0};
  s.oh = th_count_windows(s.h, s.k, s.stride, s.padding);
  s.ow = th_count_windows(s.w, s.k, s.stride, s.padding);
  return s;
}

/** Rows or columns first … last - 1. */
typedef struct {
  th_index first, last;
} th_span;

/** The part of a window, along an axis of `size`, that is in the image. */
TH_VMATH th_span th_pixels_of(th_index window, th_index size, const th_pool_shape *s) {
  const th_index start = window * s->stride - s->padding, end = start + s->k;
  const th_span pixels = {start > 0 ? start : 0, end < size ? end : size};
  return pixels;
}

/** The windows, of `count` along an axis, that a pixel is in. */
TH_VMATH th_span th_windows_with(th_index pixel, th_index count, const th_pool_shape *s) {
  const th_index end = pixel + s->padding, before = end - s->k + 1, last = end / s->stride;
  const th_span windows = {before > 0 ? (before - 1) / s->stride + 1 : 0, last < count ? last + 1 : count};
  return windows;
}

#endif
