/*
 * Elementwise operations, one line each: the name in thimble.h and the expression. Every variant makes its kernels of these
 * tables, and defines TH_EXP, TH_LOG, TH_TANH, TH_SIGMOID, TH_SIN, TH_COS and TH_POW as its own functions of those
 * names.
 */
#ifndef TH_COMMON_ELEMENTWISE_H
#define TH_COMMON_ELEMENTWISE_H

#include "vmath.h"

/* float32, x and p */
#define FLOAT_UNARY(OP)                                                                                                \
  OP(NEG, -x)                                                                                                          \
  OP(EXP, TH_EXP(x))                                                                                                   \
  OP(LOG, TH_LOG(x))                                                                                                   \
  OP(SQRT, sqrtf(x))                                                                                                   \
  OP(TANH, TH_TANH(x))                                                                                                 \
  OP(RELU, x < 0 ? 0 : x)                                                                                              \
  OP(SIGMOID, TH_SIGMOID(x))                                                                                           \
  OP(ABS, fabsf(x))                                                                                                    \
  OP(ADD_SCALAR, x + p)                                                                                                \
  OP(MUL_SCALAR, x *p)                                                                                                 \
  OP(RSUB_SCALAR, p - x)                                                                                               \
  OP(DIV_SCALAR, x / p)                                                                                                \
  OP(RDIV_SCALAR, p / x)                                                                                               \
  OP(POW_SCALAR, TH_POW(x, p))                                                                                         \
  OP(MAXIMUM_SCALAR, x > p || x != x ? x : p)                                                                          \
  OP(EQUAL_SCALAR, x == p ? 1 : 0)                                                                                     \
  OP(GREATER_SCALAR, x > p ? 1 : 0)                                                                                    \
  OP(MINIMUM_SCALAR, x < p || x != x ? x : p)                                                                          \
  OP(NOT_EQUAL_SCALAR, x != p ? 1 : 0)                                                                                 \
  OP(LESS_SCALAR, x < p ? 1 : 0)                                                                                       \
  OP(LESS_EQUAL_SCALAR, x <= p ? 1 : 0)                                                                                \
  OP(GREATER_EQUAL_SCALAR, x >= p ? 1 : 0)                                                                             \
  OP(SIN, TH_SIN(x))                                                                                                   \
  OP(COS, TH_COS(x))                                                                                                   \
  OP(GELU, x *th_gaussian(x).distribution)                                                                             \
  OP(SILU, x *TH_SIGMOID(x))                                                                                           \
  OP(SOFTPLUS, (x > 0 ? x : 0) + th_log1pf(TH_EXP(-fabsf(x))))                                                         \
  OP(LEAKY_RELU, x < 0 ? p * x : x)                                                                                    \
  OP(FLOOR, floorf(x))                                                                                                 \
  OP(CEIL, ceilf(x))                                                                                                   \
  OP(ROUND, rintf(x))                                                                                                  \
  OP(HUBER, fabsf(x) <= p ? 0.5f * x * x : p * (fabsf(x) - 0.5f * p))

/* float32, x, y and p */
#define FLOAT_BINARY(OP)                                                                                               \
  OP(ADD, x + y)                                                                                                       \
  OP(SUB, x - y)                                                                                                       \
  OP(MUL, x *y)                                                                                                        \
  OP(DIV, x / y)                                                                                                       \
  OP(MAXIMUM, x > y || x != x ? x : y)                                                                                 \
  OP(EQUAL, x == y ? 1 : 0)                                                                                            \
  OP(GREATER, x > y ? 1 : 0)                                                                                           \
  OP(TANH_BACKWARD, x *(1 - y * y))                                                                                    \
  OP(SIGMOID_BACKWARD, x *y *(1 - y))                                                                                  \
  OP(RELU_BACKWARD, y > 0 ? x : 0)                                                                                     \
  OP(SQRT_BACKWARD, x / (2 * y))                                                                                       \
  OP(ABS_BACKWARD, x *(y > 0 ? 1 : y < 0 ? -1 : 0))                                                                    \
  OP(POW_BACKWARD, x *(p * TH_POW(y, p - 1)))                                                                          \
  OP(MAXIMUM_BACKWARD, x < y ? 0 : x == y ? 0.5f : 1)                                                                  \
  OP(EXP_SUB, x == y ? 1 : TH_EXP(x - y))                                                                              \
  OP(MINIMUM, x < y || x != x ? x : y)                                                                                 \
  OP(NOT_EQUAL, x != y ? 1 : 0)                                                                                        \
  OP(GREATER_EQUAL, x >= y ? 1 : 0)                                                                                    \
  OP(GELU_BACKWARD, x *(th_gaussian(y).distribution + y * th_gaussian(y).density))                                     \
  OP(SILU_BACKWARD, x *TH_SIGMOID(y) * (1 + y * (1 - TH_SIGMOID(y))))                                                  \
  OP(SOFTPLUS_BACKWARD, x *TH_SIGMOID(y))                                                                              \
  OP(LEAKY_RELU_BACKWARD, y > 0 ? x : p * x)                                                                           \
  OP(LESS, x < y ? 1 : 0)                                                                                              \
  OP(LESS_EQUAL, x <= y ? 1 : 0)                                                                                       \
  OP(HUBER_BACKWARD, x *(y < -p ? -p : y > p ? p : y))                                                                 \
  OP(LERP, p < 0.5f ? x + p * (y - x) : y - (1 - p) * (y - x))

/* int32, as unsigned so that overflow wraps; comparisons are signed */
#define INT_UNARY(OP)                                                                                                  \
  OP(NEG, 0 - x)                                                                                                       \
  OP(ABS, (int32_t)x < 0 ? 0 - x : x)                                                                                  \
  OP(ADD_SCALAR, x + p)                                                                                                \
  OP(MUL_SCALAR, x *p)                                                                                                 \
  OP(RSUB_SCALAR, p - x)                                                                                               \
  OP(MAXIMUM_SCALAR, (int32_t)x > (int32_t)p ? x : p)                                                                  \
  OP(EQUAL_SCALAR, x == p)                                                                                             \
  OP(GREATER_SCALAR, (int32_t)x > (int32_t)p)                                                                          \
  OP(MINIMUM_SCALAR, (int32_t)x < (int32_t)p ? x : p)                                                                  \
  OP(NOT_EQUAL_SCALAR, x != p)                                                                                         \
  OP(LESS_SCALAR, (int32_t)x < (int32_t)p)                                                                             \
  OP(LESS_EQUAL_SCALAR, (int32_t)x <= (int32_t)p)                                                                      \
  OP(GREATER_EQUAL_SCALAR, (int32_t)x >= (int32_t)p)

#define INT_BINARY(OP)                                                                                                 \
  OP(ADD, x + y)                                                                                                       \
  OP(SUB, x - y)                                                                                                       \
  OP(MUL, x *y)                                                                                                        \
  OP(MAXIMUM, (int32_t)x > (int32_t)y ? x : y)                                                                         \
  OP(EQUAL, x == y)                                                                                                    \
  OP(GREATER, (int32_t)x > (int32_t)y)                                                                                 \
  OP(MINIMUM, (int32_t)x < (int32_t)y ? x : y)                                                                         \
  OP(NOT_EQUAL, x != y)                                                                                                \
  OP(GREATER_EQUAL, (int32_t)x >= (int32_t)y)                                                                          \
  OP(LESS, (int32_t)x < (int32_t)y)                                                                                    \
  OP(LESS_EQUAL, (int32_t)x <= (int32_t)y)

#endif
