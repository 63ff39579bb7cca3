/*
 * Convolution and its two gradients, each one matrix product (gemm.h) whose left operand is gathered from the images:
 *   forward    y (pixels, f)            = windows of x (pixels, taps · c) · weight
 *   data       dx (pixels of x, c)      = windows of dy (pixels of x, taps · f) · weightᵀ
 *   weight     dweight (taps · c, f)    = windows of xᵀ (taps · c, pixels) · dy
 */
#include "column_sums.h"
#include "gemm.h"

#include "../common/window.h"

namespace {

/** Splits an index into its last two axes and the rest. */
struct axes3 {
  th_divisor middle, inner;
  struct position {
    int32_t outer, middle, inner;
  };
  __device__ __forceinline__ position at(uint32_t index) const {
    const uint32_t rest = th_divide(index, inner), outer = th_divide(rest, middle);
    return {(int32_t)outer, (int32_t)(rest - outer * middle.value), (int32_t)(index - rest * inner.value)};
  }
};

axes3 make_axes3(int32_t middle, int32_t inner) {
  return {th_make_divisor((uint32_t)middle), th_make_divisor((uint32_t)inner)};
}

/** Output pixel (n, oy, ox), and tap and channel (ky, kx, c), to the element of x where they meet. */
struct window {
  const float *x;
  int32_t h, w, c, stride, padding;
  axes3 pixels, taps;
  struct pixel {
    int32_t image, y, x;
  };
  struct tap {
    int32_t y, x, offset;
  };
  __device__ __forceinline__ pixel pixel_at(uint32_t index) const {
    const axes3::position p = pixels.at(index);
    return {p.outer * h * w * c, p.middle * stride - padding, p.inner * stride - padding};
  }
  __device__ __forceinline__ tap tap_at(uint32_t index) const {
    const axes3::position p = taps.at(index);
    return {p.outer, p.middle, (p.outer * w + p.middle) * c + p.inner};
  }
  __device__ __forceinline__ float load(const pixel &p, const tap &t) const {
    const int32_t y = p.y + t.y, column = p.x + t.x;
    const bool inside = (uint32_t)y < (uint32_t)h && (uint32_t)column < (uint32_t)w;
    return inside ? x[p.image + (p.y * w + p.x) * c + t.offset] : 0;
  }
};

window make_window(const th_conv_shape &s, const float *x) {
  return {x, s.h, s.w, s.c, s.stride, s.padding, make_axes3(s.oh, s.ow), make_axes3(s.kw, s.c)};
}

struct forward_windows : window {
  static constexpr bool K_FASTEST = true;
  __device__ __forceinline__ pixel row(uint32_t i) const { return pixel_at(i); }
  __device__ __forceinline__ tap column(uint32_t k) const { return tap_at(k); }
  __device__ __forceinline__ forward_windows at(int32_t) const { return *this; }
};

struct weight_windows : window {
  static constexpr bool K_FASTEST = false;
  __device__ __forceinline__ tap row(uint32_t i) const { return tap_at(i); }
  __device__ __forceinline__ pixel column(uint32_t k) const { return pixel_at(k); }
  __device__ __forceinline__ float load(const tap &t, const pixel &p) const { return window::load(p, t); }
  __device__ __forceinline__ weight_windows at(int32_t) const { return *this; }
};

/** Pixel (n, iy, ix) of x, and (ky, kx, f), to the element of dy that they add to. */
struct gradient_windows {
  static constexpr bool K_FASTEST = true;
  const float *dy;
  int32_t oh, ow, f, padding;
  axes3 pixels, taps;
  th_divisor stride;
  struct pixel {
    int32_t image, y, x;
  };
  __device__ __forceinline__ pixel row(uint32_t i) const {
    const axes3::position p = pixels.at(i);
    return {p.outer * oh * ow * f, p.middle + padding, p.inner + padding};
  }
  __device__ __forceinline__ axes3::position column(uint32_t k) const { return taps.at(k); }
  __device__ __forceinline__ float load(const pixel &p, const axes3::position &t) const {
    const int32_t y = p.y - t.outer, x = p.x - t.middle;
    if (y < 0 || x < 0) return 0;
    const uint32_t oy = th_divide((uint32_t)y, stride), ox = th_divide((uint32_t)x, stride);
    const bool meets = oy * stride.value == (uint32_t)y && ox * stride.value == (uint32_t)x;
    if (!meets || oy >= (uint32_t)oh || ox >= (uint32_t)ow) return 0;
    return dy[p.image + ((int32_t)oy * ow + (int32_t)ox) * f + t.inner];
  }
  __device__ __forceinline__ gradient_windows at(int32_t) const { return *this; }
};

/** weightᵀ: row c, column (ky, kx, f). */
struct transposed_weight {
  static constexpr bool K_FASTEST = true;
  const float *weight;
  int32_t c, f;
  th_divisor channels;
  __device__ __forceinline__ int32_t row(uint32_t i) const { return (int32_t)i * f; }
  __device__ __forceinline__ int32_t column(uint32_t k) const {
    const int32_t tap = (int32_t)th_divide(k, channels);
    return tap * c * f + (int32_t)k - tap * f;
  }
  __device__ __forceinline__ float load(int32_t row, int32_t column) const { return weight[row + column]; }
  __device__ __forceinline__ transposed_weight at(int32_t) const { return *this; }
};

th_layout single() {
  th_layout one = {};
  one.count = 1;
  return one;
}

} // namespace

int32_t th_conv(float *y, const float *x, const float *weight, const float *bias, const int32_t *geometry) {
  const th_conv_shape s = th_read_conv_shape(geometry);
  const int32_t pixels = s.n * s.oh * s.ow;
  if (th_is_pointwise(&s)) return th_multiply_matrices(y, {x, s.c, 0}, {weight, s.f, 0}, bias, pixels, s.f, s.c, 0);
  const forward_windows windows = {make_window(s, x)};
  return th_multiply("conv", windows, th_dense<false>{weight, 1, s.f}, {y, bias, nullptr, 0}, (uint32_t)pixels,
                     (uint32_t)s.f, (uint32_t)(s.kh * s.kw * s.c), single());
}

int32_t th_conv_backward_data(float *dx, const float *dy, const float *weight, const int32_t *geometry) {
  const th_conv_shape s = th_read_conv_shape(geometry);
  const int32_t pixels = s.n * s.h * s.w;
  if (th_is_pointwise(&s))
    return th_multiply_matrices(dx, {dy, s.f, 0}, {weight, s.f, 1}, nullptr, pixels, s.c, s.f, 0);
  const gradient_windows windows = {
      dy, s.oh, s.ow, s.f, s.padding, make_axes3(s.h, s.w), make_axes3(s.kw, s.f), th_make_divisor((uint32_t)s.stride)};
  const transposed_weight weights = {weight, s.c, s.f, th_make_divisor((uint32_t)s.f)};
  return th_multiply("conv_backward_data", windows, weights, {dx, nullptr, nullptr, 0}, (uint32_t)pixels, (uint32_t)s.c,
                     (uint32_t)(s.kh * s.kw * s.f), single());
}

int32_t th_conv_backward_weight(float *dweight, float *dbias, const float *x, const float *dy,
                                const int32_t *geometry) {
  const th_conv_shape s = th_read_conv_shape(geometry);
  const int32_t pixels = s.n * s.oh * s.ow, taps = s.kh * s.kw * s.c;
  const weight_windows windows = {make_window(s, x)};
  if (th_is_pointwise(&s))
    TH_TRY(th_multiply_matrices(dweight, {x, s.c, 1}, {dy, s.f, 0}, nullptr, s.c, s.f, pixels, 0));
  else
    TH_TRY(th_multiply("conv_backward_weight", windows, th_dense<false>{dy, 1, s.f}, {dweight, nullptr, nullptr, 0},
                       (uint32_t)taps, (uint32_t)s.f, (uint32_t)pixels, single()));
  return dbias ? th_column_sum(dbias, dy, pixels, s.f) : TH_STATUS_OK;
}
