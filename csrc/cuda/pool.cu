/*
 * Pooling: the maximum or mean of each window of NHWC images. A thread makes an element of the output, so that neighbours
 * read neighbouring channels; the gradients are gathered as on the CPU (csrc/cpu/pool.c), without atomics.
 */
#include "strided.h"

#include <cmath>

#include "../common/window.h"

namespace {

/** What a pass reads, and how an element of what it writes is found. */
struct pass {
  th_pool_shape shape;
  int32_t width, in_height, in_width; /* width of the output, and the sizes of the input, in pixels */
  th_divisor channel, column, row;    /* of the output */
  bool backward;

  /** Along an axis of `size` of the input: the pixels in a window, or, backward, the windows that a pixel is in. */
  __device__ __forceinline__ th_span along(int32_t at, int32_t size) const {
    return backward ? th_windows_with(at, size, &shape) : th_pixels_of(at, size, &shape);
  }
};

/** An element of the output: its pixel in its image, and the part of the input that it is made from. */
struct element {
  int32_t pixel, first; /* first: the input's element of its image and channel in the first pixel */
  th_span v, u;
};

TH_DEVICE element locate(const pass &p, uint32_t i) {
  const uint32_t pixel = th_divide(i, p.channel), rows = th_divide(pixel, p.column), image = th_divide(rows, p.row);
  const int32_t channel = (int32_t)(i - pixel * p.channel.value), x = (int32_t)(pixel - rows * p.column.value),
                y = (int32_t)(rows - image * p.row.value);
  return {y * p.width + x, (int32_t)image * p.in_height * p.in_width * p.shape.c + channel, p.along(y, p.in_height),
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
        const float value = x[e.first + pixel * p.shape.c];
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
        const int32_t window = e.first + (row * p.in_width + column) * p.shape.c;
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
        sum += in[e.first + (row * p.in_width + column) * p.shape.c];
    out[i] = sum * scale;
  }
}

pass make_pass(const th_pool_shape &s, bool backward) {
  const int32_t height = backward ? s.h : s.oh, width = backward ? s.w : s.ow;
  return {s,
          width,
          backward ? s.oh : s.h,
          backward ? s.ow : s.w,
          th_make_divisor((uint32_t)s.c),
          th_make_divisor((uint32_t)width),
          th_make_divisor((uint32_t)height),
          backward};
}

uint32_t windows(const th_pool_shape &s) { return (uint32_t)(s.n * s.oh * s.ow * s.c); }
uint32_t pixels(const th_pool_shape &s) { return (uint32_t)(s.n * s.h * s.w * s.c); }

} // namespace

int32_t th_max_pool(float *y, int32_t *index, const float *x, const int32_t *geometry) {
  const th_pool_shape s = th_read_pool_shape(geometry);
  const uint32_t count = windows(s);
  return th_launch("max_pool", max_windows, th_blocks_for(count), TH_BLOCK, y, index, x, make_pass(s, false), count);
}

int32_t th_max_pool_backward(float *dx, const float *dy, const int32_t *index, const int32_t *geometry) {
  const th_pool_shape s = th_read_pool_shape(geometry);
  const uint32_t count = pixels(s);
  return th_launch("max_pool_backward", max_gradients, th_blocks_for(count), TH_BLOCK, dx, dy, index,
                   make_pass(s, true), count);
}

int32_t th_avg_pool(float *y, const float *x, const int32_t *geometry, double scale) {
  const th_pool_shape s = th_read_pool_shape(geometry);
  const uint32_t count = windows(s);
  return th_launch("avg_pool", sums, th_blocks_for(count), TH_BLOCK, y, x, scale, make_pass(s, false), count);
}

int32_t th_avg_pool_backward(float *dx, const float *dy, const int32_t *geometry, double scale) {
  const th_pool_shape s = th_read_pool_shape(geometry);
  const uint32_t count = pixels(s);
  return th_launch("avg_pool_backward", sums, th_blocks_for(count), TH_BLOCK, dx, dy, scale, make_pass(s, true), count);
}
