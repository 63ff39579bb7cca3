/* The geometry of a convolution, read from the ABI's int32 array. */
#ifndef TH_CUDA_CONV_SHAPE_H
#define TH_CUDA_CONV_SHAPE_H

#include <stdint.h>

/** Images x (n, h, w, c), weight (kh, kw, c, f), y (n, oh, ow, f). */
struct th_conv_shape {
  int32_t n, h, w, c, f, kh, kw, stride, padding, oh, ow;
};

inline th_conv_shape th_read_conv_shape(const int32_t *g) {
  th_conv_shape s = {g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], 0, 0};
  s.oh = (s.h + 2 * s.padding - s.kh) / s.stride + 1;
  s.ow = (s.w + 2 * s.padding - s.kw) / s.stride + 1;
  return s;
}

#endif
