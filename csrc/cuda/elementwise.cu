/*
 * Elementwise kernels: an operation is one line of common/elementwise.h. Each becomes two kernels: for layouts
 * of one axis, which contiguous arrays and scalars merge to, and for all others.
 */
#include "strided.h"

#include <cmath>

#include "../common/elementwise.h"

namespace {

/** x^p: the exponents that programs use most need no call. */
TH_DEVICE float power(float x, float p) { return p == 2 ? x * x : p == 1 ? x : powf(x, p); }

TH_DEVICE float sigmoid(float x) { return 1 / (1 + expf(-x)); }

#define TH_EXP expf
#define TH_LOG logf
#define TH_TANH tanhf
#define TH_SIGMOID sigmoid
#define TH_POW power
#define TH_SIN sinf
#define TH_COS cosf

#define UNARY_FUNCTOR(PREFIX, TYPE, NAME, EXPRESSION)                                                                  \
  struct PREFIX##_##NAME {                                                                                             \
    static __device__ __forceinline__ TYPE apply(TYPE x, TYPE, TYPE p) {                                               \
      (void)p;                                                                                                         \
      return EXPRESSION;                                                                                               \
    }                                                                                                                  \
  };
#define BINARY_FUNCTOR(PREFIX, TYPE, NAME, EXPRESSION)                                                                 \
  struct PREFIX##_##NAME {                                                                                             \
    static __device__ __forceinline__ TYPE apply(TYPE x, TYPE y, TYPE p) {                                             \
      (void)p;                                                                                                         \
      return EXPRESSION;                                                                                               \
    }                                                                                                                  \
  };
#define FLOAT_UNARY_FUNCTOR(NAME, EXPRESSION) UNARY_FUNCTOR(float_unary, float, NAME, EXPRESSION)
#define FLOAT_BINARY_FUNCTOR(NAME, EXPRESSION) BINARY_FUNCTOR(float_binary, float, NAME, EXPRESSION)
#define INT_UNARY_FUNCTOR(NAME, EXPRESSION) UNARY_FUNCTOR(int_unary, uint32_t, NAME, EXPRESSION)
#define INT_BINARY_FUNCTOR(NAME, EXPRESSION) BINARY_FUNCTOR(int_binary, uint32_t, NAME, EXPRESSION)
FLOAT_UNARY(FLOAT_UNARY_FUNCTOR)
FLOAT_BINARY(FLOAT_BINARY_FUNCTOR)
INT_UNARY(INT_UNARY_FUNCTOR)
INT_BINARY(INT_BINARY_FUNCTOR)

struct to_value {
  static __device__ __forceinline__ uint32_t apply(uint32_t, uint32_t, uint32_t p) { return p; }
};
struct to_same {
  static __device__ __forceinline__ uint32_t apply(uint32_t x, uint32_t, uint32_t) { return x; }
};
struct to_float {
  static __device__ __forceinline__ float apply(int32_t x, int32_t, int32_t) { return (float)x; }
};
struct to_int {
  static __device__ __forceinline__ int32_t apply(float x, float, float) {
    if (x != x) return 0;
    return x >= 0x1p31f ? INT32_MAX : x <= -0x1p31f ? INT32_MIN : (int32_t)x;
  }
};

/* ------------------------------------------------------------------------------------------------- kernels */

/* INPUTS is 0, 1 or 2. `out` may be an input, so nothing is __restrict__. */

template <class Op, int INPUTS, class Out, class In>
__global__ void map_line(Out *out, const In *a, const In *b, uint32_t n, int32_t out_stride, int32_t a_stride,
                         int32_t b_stride, In p) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    const int32_t at = (int32_t)i;
    const In x = INPUTS > 0 ? a[at * a_stride] : In(), y = INPUTS > 1 ? b[at * b_stride] : In();
    out[at * out_stride] = Op::apply(x, y, p);
  }
}

template <class Op, int INPUTS, class Out, class In>
__global__ void map_strided(Out *out, const In *a, const In *b, th_axes<INPUTS + 1> axes, In p) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < axes.count; i += gridDim.x * blockDim.x) {
    int32_t at[INPUTS + 1];
    th_offsets(axes, i, at);
    const In x = INPUTS > 0 ? a[at[INPUTS > 0 ? 1 : 0]] : In(), y = INPUTS > 1 ? b[at[INPUTS > 1 ? 2 : 0]] : In();
    out[at[0]] = Op::apply(x, y, p);
  }
}

template <class Op, int INPUTS, class Out, class In>
int32_t map(const char *name, void *out, const void *a, const void *b, const int32_t *layout, In p) {
  const th_layout l = th_elements_of(layout, INPUTS + 1);
  if (l.count == 0) return TH_STATUS_OK;
  Out *const to = static_cast<Out *>(out);
  const In *const x = static_cast<const In *>(a), *const y = static_cast<const In *>(b);
  const dim3 blocks = th_blocks_for(l.count);
  if (l.ndim > 1)
    return th_launch(name, map_strided<Op, INPUTS, Out, In>, blocks, TH_BLOCK, to, x, y, th_make_axes<INPUTS + 1>(l),
                     p);
  int32_t strides[3] = {0, 0, 0};
  for (int k = 0; k <= INPUTS && l.ndim == 1; k++) strides[k] = (int32_t)l.stride[k][0];
  return th_launch(name, map_line<Op, INPUTS, Out, In>, blocks, TH_BLOCK, to, x, y, (uint32_t)l.count, strides[0],
                   strides[1], strides[2], p);
}

int32_t unsupported(const char *function, int32_t op, int32_t dtype) {
  return th_fail(TH_STATUS_UNSUPPORTED, "%s: operation %d does not take dtype %d", function, op, dtype);
}

uint32_t bits_of(double value, int32_t dtype) {
  if (dtype == TH_DTYPE_INT32) return (uint32_t)(int32_t)value;
  const float f = (float)value;
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}

} // namespace

int32_t th_fill(void *out, const int32_t *layout, double value, int32_t dtype) {
  return map<to_value, 0, uint32_t, uint32_t>("fill", out, nullptr, nullptr, layout, bits_of(value, dtype));
}

int32_t th_copy(void *out, const void *in, const int32_t *layout) {
  return map<to_same, 1, uint32_t, uint32_t>("copy", out, in, nullptr, layout, 0);
}

int32_t th_cast(void *out, const void *in, const int32_t *layout, int32_t from, int32_t to) {
  if (from == to) return th_copy(out, in, layout);
  if (to == TH_DTYPE_INT32) return map<to_int, 1, int32_t, float>("cast", out, in, nullptr, layout, 0);
  return map<to_float, 1, float, int32_t>("cast", out, in, nullptr, layout, 0);
}

#define FLOAT_UNARY_CASE(NAME, EXPRESSION)                                                                             \
  case TH_UNARY_##NAME:                                                                                                \
    return map<float_unary_##NAME, 1, float, float>(#NAME, out, in, nullptr, layout, (float)p);
#define INT_UNARY_CASE(NAME, EXPRESSION)                                                                               \
  case TH_UNARY_##NAME:                                                                                                \
    return map<int_unary_##NAME, 1, uint32_t, uint32_t>(#NAME, out, in, nullptr, layout, (uint32_t)(int32_t)p);
#define FLOAT_BINARY_CASE(NAME, EXPRESSION)                                                                            \
  case TH_BINARY_##NAME:                                                                                               \
    return map<float_binary_##NAME, 2, float, float>(#NAME, out, a, b, layout, (float)p);
#define INT_BINARY_CASE(NAME, EXPRESSION)                                                                              \
  case TH_BINARY_##NAME: return map<int_binary_##NAME, 2, uint32_t, uint32_t>(#NAME, out, a, b, layout, 0);

int32_t th_unary(void *out, const void *in, const int32_t *layout, int32_t op, int32_t dtype, double p) {
  if (dtype == TH_DTYPE_FLOAT32) {
    switch (op) { FLOAT_UNARY(FLOAT_UNARY_CASE) }
  } else {
    switch (op) { INT_UNARY(INT_UNARY_CASE) }
  }
  return unsupported("th_unary", op, dtype);
}

int32_t th_binary(void *out, const void *a, const void *b, const int32_t *layout, int32_t op, int32_t dtype, double p) {
  if (op == TH_BINARY_POW_BACKWARD && p == 0) return th_fill(out, layout, 0, dtype);
  if (dtype == TH_DTYPE_FLOAT32) {
    switch (op) { FLOAT_BINARY(FLOAT_BINARY_CASE) }
  } else {
    switch (op) { INT_BINARY(INT_BINARY_CASE) }
  }
  return unsupported("th_binary", op, dtype);
}

static __global__ void choose(uint32_t *out, const uint32_t *condition, const uint32_t *a, const uint32_t *b,
                              th_axes<4> axes, uint32_t value_bits) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < axes.count; i += gridDim.x * blockDim.x) {
    int32_t at[4];
    th_offsets(axes, i, at);
    out[at[0]] = condition[at[1]] & value_bits ? a[at[2]] : b[at[3]];
  }
}

int32_t th_where(void *out, const void *condition, const void *a, const void *b, const int32_t *layout, int32_t dtype) {
  const th_layout l = th_elements_of(layout, 4);
  if (l.count == 0) return TH_STATUS_OK;
  const uint32_t value_bits = dtype == TH_DTYPE_FLOAT32 ? 0x7fffffff : 0xffffffff; /* -0 is zero too */
  return th_launch("where", choose, th_blocks_for(l.count), TH_BLOCK, static_cast<uint32_t *>(out),
                   static_cast<const uint32_t *>(condition), static_cast<const uint32_t *>(a),
                   static_cast<const uint32_t *>(b), th_make_axes<4>(l), value_bits);
}

static __global__ void scale_by(float *x, const float *factor, uint32_t n) {
  const float by = *factor;
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) x[i] *= by;
}

int32_t th_scale(float *x, const float *factor, int32_t n) {
  return th_launch("scale", scale_by, th_blocks_for(n), TH_BLOCK, x, factor, n);
}
