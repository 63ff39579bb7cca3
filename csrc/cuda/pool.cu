/*
 * Pooling: the maximum or mean of each window of NHWC images. A thread makes an element of the output, so that neighbours
 * read neighbouring channels; the gradients are gathered as on the CPU (csrc/cpu/pool.c), without atomics.
 */
#include "strided.h"

#include <cmath>

namespace {

struct pool_shape {
  int32_t n, h, w, c, k, stride, padding, oh, ow;
};

pool_shape read_pool_shape(const int32_t *g) {
  pool_shape s = {g[0], g[1], g[2], g[3], g[4], g[5], g[6], 0, 0};
  s.oh = (s.h + 2 * s.padding - s.k) / s.stride + 1;
  s.ow = (s.w + 2 * s.padding - s.k) / s.stride + 1;
  return s;
}

/** Rows or columns first … last - 1. */
struct span {
  int32_t first, last;
};

/** What a pass reads, and how an element of what it writes is found. */
struct pass {
  int32_t c, width, in_height, in_width; /* width of the output, and the sizes of the input, in pixels */
  int32_t k, stride, padding;
  th_divisor channel, column, row; /* of the output */
  bool backward;

  /** Along an axis of `size` of the input: the pixels in a window, or, backward, the windows that a pixel is in. */
  __device__ __forceinline__ span along(int32_t at, int32_t size) const {
    if (!backward) {
      const int32_t start = at * stride - padding;
      return {start > 0 ? start : 0, start + k < size ? start + k : size};
    }
    const int32_t end = at + padding, before = end - k + 1, last = end / stride;
    return {before > 0 ? (before - 1) / stride + 1 : 0, last < size ? last + 1 : size};
  }
};

/** An element of the output: its pixel in its image, and the part of the input that it is made from. */
struct element {
  int32_t pixel, first; /* first: the input's element of its image and channel in the first pixel */
  span v, u;
};

TH_DEVICE element locate(const pass &p, uint32_t i) {
  const uint32_t pixel = th_divide(i, p.channel), rows = th_divide(pixel, p.column), image = th_divide(rows, p.row);
  const int32_t channel = (int32_t)(i - pixel * p.channel.value), x = (int32_t)(pixel - rows * p.column.value),
                y = (int32_t)(rows - image * p.row.value);
  return {y * p.width + x, (int32_t)image * p.in_height * p.in_width * p.c + channel, p.along(y, p.in_height),
          p.along(x, p.in_width)};
}

__global__ void max_windows(float *y, int32_t *index, const float *x, pass p, uint32_t count) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    const element e = locate(p, i);
    float best = -INFINITY;
    int32_t from = e.v.first * p.in_width + e.u.first;
    for (int32_t row = e.v.first; row < e.v.last; row++)
      for (int32_t column = e.u.first; column < e.u.last; column++) {
        const int32_t pixel = row * p.in_width + column;
        const float value = x[e.first + pixel * p.c];
        if (!(value > best || value != value)) continue;
        best = value;
        from = pixel;
      }
    y[i] = best;
    if (index) index[i] = from;
  }
}

__global__ void max_gradients(float *dx, const float *dy, const int32_t *index, pass p, uint32_t count) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    const element e = locate(p, i);
    float sum = 0;
    for (int32_t row = e.v.first; row < e.v.last; row++)
      for (int32_t column = e.u.first; column < e.u.last; column++) {
        const int32_t window = e.first + (row * p.in_width + column) * p.c;
        if (index[window] == e.pixel) sum += dy[window];
      }
    dx[i] = sum;
  }
}

/** The sums of windows, scaled, and their gradients. */
__global__ void sums(float *out, const float *in, float scale, pass p, uint32_t count) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    const element e = locate(p, i);
    float sum = 0;
    for (int32_t row = e.v.first; row < e.v.last; row++)
      for (int32_t column = e.u.first; column < e.u.last; column++)
        sum += in[e.first + (row * p.in_width + column) * p.c];
    out[i] = sum * scale;
  }
}

pass make_pass(const pool_shape &s, bool backward) {
  const int32_t height = backward ? s.h : s.oh, width = backward ? s.w : s.ow;
  return {s.c,
          width,
          backward ? s.oh : s.h,
          backward ? s.ow : s.w,
          s.k,
          s.stride,
          s.padding,
          th_make_divisor((uint32_t)s.c),
          th_make_divisor((uint32_t)width),
          th_make_divisor((uint32_t)height),
          backward};
}

uint32_t windows(const pool_shape &s) { return (uint32_t)(s.n * s.oh * s.ow * s.c); }
uint32_t pixels(const pool_shape &s) { return (uint32_t)(s.n * s.h * s.w * s.c); }

} // namespace

int32_t th_max_pool(float *y, int32_t *index, const float *x, const int32_t *geometry) {
  const pool_shape s = read_pool_shape(geometry);
  const uint32_t count = windows(s);
  return th_launch("max_pool", max_windows, th_blocks_for(count), TH_BLOCK, y, index, x, make_pass(s, false), count);
}

int32_t th_max_pool_backward(float *dx, const float *dy, const int32_t *index, const int32_t *geometry) {
  const pool_shape s = read_pool_shape(geometry);
  const uint32_t count = pixels(s);
  return th_launch("max_pool_backward", max_gradients, th_blocks_for(count), TH_BLOCK, dx, dy, index,
                   make_pass(s, true), count);
}

int32_t th_avg_pool(float *y, const float *x, const int32_t *geometry, double scale) {
  const pool_shape s = read_pool_shape(geometry);
  const uint32_t count = windows(s);
  return th_launch("avg_pool", sums, th_blocks_for(count), TH_BLOCK, y, x, scale, make_pass(s, false), count);
}

int32_t th_avg_pool_backward(float *dx, const float *dy, const int32_t *geometry, double scale) {
  const pool_shape s = read_pool_shape(geometry);
  const uint32_t count = pixels(s);
  return th_launch("avg_pool_backward", sums, th_blocks_for(count), TH_BLOCK, dx, dy, scale, make_pass(s, true), count);
}
