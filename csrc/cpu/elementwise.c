/*
 * Elementwise kernels: an operation is one line of common/elementwise.h. The macros turn it into a loop over contiguous
 * elements that the compiler vectorises; strided.h brings everything else to that form.
 */
#include "strided.h"

#include <string.h>

#include "../common/elementwise.h"

#define TH_EXP th_expf
#define TH_LOG th_logf
#define TH_TANH th_tanhf
#define TH_SIGMOID th_sigmoidf
#define TH_POW powf
#define TH_SIN(x) th_sine(x, 0)
#define TH_COS(x) th_sine(x, 1)

/* One thread should have about this many elements; a transcendental function is worth four cheap operations. */
static const double GRAIN = 16384, HEAVY_GRAIN = 4096;

/* -------------------------------------------------------------------------------------------------- loops */

#define UNARY_LOOP(PREFIX, TYPE, NAME, EXPRESSION)                                                                     \
  static void PREFIX##_##NAME(const th_chunk *chunk) {                                                                 \
    const ptrdiff_t n = chunk->n;                                                                                      \
    const TYPE *in = chunk->a, p = *(const TYPE *)chunk->context;                                                      \
    TYPE *result = chunk->out;                                                                                         \
    (void)p;                                                                                                           \
    _Pragma("omp simd") for (ptrdiff_t i = 0; i < n; i++) {                                                            \
      const TYPE x = in[i];                                                                                            \
      result[i] = EXPRESSION;                                                                                          \
    }                                                                                                                  \
  }

#define BINARY_LOOP(PREFIX, TYPE, NAME, EXPRESSION)                                                                    \
  static void PREFIX##_##NAME(const th_chunk *chunk) {                                                                 \
    const ptrdiff_t n = chunk->n;                                                                                      \
    const TYPE *left = chunk->a, *right = chunk->b, p = *(const TYPE *)chunk->context;                                 \
    TYPE *result = chunk->out;                                                                                         \
    (void)p;                                                                                                           \
    if (chunk->single == 1) {                                                                                          \
      const TYPE x = *left;                                                                                            \
      _Pragma("omp simd") for (ptrdiff_t i = 0; i < n; i++) {                                                          \
        const TYPE y = right[i];                                                                                       \
        result[i] = EXPRESSION;                                                                                        \
      }                                                                                                                \
    } else if (chunk->single == 2) {                                                                                   \
      const TYPE y = *right;                                                                                           \
      _Pragma("omp simd") for (ptrdiff_t i = 0; i < n; i++) {                                                          \
        const TYPE x = left[i];                                                                                        \
        result[i] = EXPRESSION;                                                                                        \
      }                                                                                                                \
    } else {                                                                                                           \
      _Pragma("omp simd") for (ptrdiff_t i = 0; i < n; i++) {                                                          \
        const TYPE x = left[i], y = right[i];                                                                          \
        result[i] = EXPRESSION;                                                                                        \
      }                                                                                                                \
    }                                                                                                                  \
  }

#define FLOAT_UNARY_LOOP(NAME, EXPRESSION) UNARY_LOOP(float_unary, float, NAME, EXPRESSION)
#define FLOAT_BINARY_LOOP(NAME, EXPRESSION) BINARY_LOOP(float_binary, float, NAME, EXPRESSION)
#define INT_UNARY_LOOP(NAME, EXPRESSION) UNARY_LOOP(int_unary, uint32_t, NAME, EXPRESSION)
#define INT_BINARY_LOOP(NAME, EXPRESSION) BINARY_LOOP(int_binary, uint32_t, NAME, EXPRESSION)
FLOAT_UNARY(FLOAT_UNARY_LOOP)
FLOAT_BINARY(FLOAT_BINARY_LOOP)
INT_UNARY(INT_UNARY_LOOP)
INT_BINARY(INT_BINARY_LOOP)

#define FLOAT_UNARY_ENTRY(NAME, EXPRESSION) [TH_UNARY_##NAME] = float_unary_##NAME,
#define FLOAT_BINARY_ENTRY(NAME, EXPRESSION) [TH_BINARY_##NAME] = float_binary_##NAME,
#define INT_UNARY_ENTRY(NAME, EXPRESSION) [TH_UNARY_##NAME] = int_unary_##NAME,
#define INT_BINARY_ENTRY(NAME, EXPRESSION) [TH_BINARY_##NAME] = int_binary_##NAME,
enum { UNARY_OPS = TH_UNARY_HUBER + 1, BINARY_OPS = TH_BINARY_LERP + 1 };
static const th_chunk_loop unary_loops[2][UNARY_OPS] = {
    [TH_DTYPE_FLOAT32] = {FLOAT_UNARY(FLOAT_UNARY_ENTRY)},
    [TH_DTYPE_INT32] = {INT_UNARY(INT_UNARY_ENTRY)},
};
static const th_chunk_loop binary_loops[2][BINARY_OPS] = {
    [TH_DTYPE_FLOAT32] = {FLOAT_BINARY(FLOAT_BINARY_ENTRY)},
    [TH_DTYPE_INT32] = {INT_BINARY(INT_BINARY_ENTRY)},
};

/* ------------------------------------------------------------------------------------------------- powers */

/* powf is a call for each element; the exponents that programs use are a few multiplications. As C's pow, the square
   root of minus infinity is infinity and that of -0 is +0. */
#define ROOT(x) ((x) == -INFINITY ? INFINITY : sqrtf((x) + 0.0f))
#define POWERS(OP)                                                                                                     \
  OP(CUBE, 3, x *x *x)                                                                                                 \
  OP(SQUARE, 2, x *x)                                                                                                  \
  OP(FIRST, 1, x)                                                                                                      \
  OP(HALF, 0.5f, ROOT(x))                                                                                              \
  OP(ZERO, 0, 1)                                                                                                       \
  OP(MINUS_HALF, -0.5f, 1 / ROOT(x))                                                                                   \
  OP(MINUS_FIRST, -1, 1 / x)                                                                                           \
  OP(MINUS_SQUARE, -2, 1 / (x * x))

#define POWER_LOOPS(NAME, EXPONENT, EXPRESSION)                                                                        \
  TH_INLINE float power_##NAME(float x) { return (void)x, EXPRESSION; }                                                \
  UNARY_LOOP(power_unary, float, NAME, power_##NAME(x))                                                                \
  BINARY_LOOP(power_binary, float, NAME, x *(p * power_##NAME(y)))
POWERS(POWER_LOOPS)

#define POWER_ENTRY(NAME, EXPONENT, EXPRESSION) {EXPONENT, power_unary_##NAME, power_binary_##NAME},
static const struct {
  float exponent;
  th_chunk_loop forward, backward;
} powers[] = {POWERS(POWER_ENTRY)};

/** The loop of x^exponent or of x · p · y^exponent, `otherwise` where there is none for the exponent. */
static th_chunk_loop power_loop(float exponent, int backward, th_chunk_loop otherwise) {
  for (size_t i = 0; i < sizeof powers / sizeof *powers; i++)
    if (powers[i].exponent == exponent) return backward ? powers[i].backward : powers[i].forward;
  return otherwise;
}

/* -------------------------------------------------------------------------------------------- large angles */

/** A loop for arguments some of which th_sine does not take. */
#define WAVE_LOOP(NAME, SMALL, LARGE)                                                                                  \
  static void wave_##NAME(const th_chunk *chunk) {                                                                     \
    const ptrdiff_t n = chunk->n;                                                                                      \
    const float *in = chunk->a;                                                                                        \
    float *result = chunk->out;                                                                                        \
    int beyond = 0;                                                                                                    \
    _Pragma("omp simd reduction(| : beyond)") for (ptrdiff_t i = 0; i < n; i++) beyond |=                              \
        !(fabsf(in[i]) <= TH_TRIG_MAX);                                                                                \
    if (!beyond) float_unary_##NAME(chunk);                                                                            \
    else                                                                                                               \
      for (ptrdiff_t i = 0; i < n; i++) result[i] = fabsf(in[i]) <= TH_TRIG_MAX ? SMALL(in[i]) : LARGE(in[i]);         \
  }
WAVE_LOOP(SIN, TH_SIN, sinf)
WAVE_LOOP(COS, TH_COS, cosf)

/* ------------------------------------------------------------------------------------------------ kernels */

/** The operand p as the dtype's loops read it. */
typedef union {
  float f;
  uint32_t i;
} scalar;

static scalar scalar_of(double p, int32_t dtype) {
  return dtype == TH_DTYPE_FLOAT32 ? (scalar){.f = (float)p} : (scalar){.i = (uint32_t)(int32_t)p};
}

/** The layout of all axes; elements may be visited in any order, so in the order of the output's memory. */
static th_layout elements_of(const int32_t *layout, int operands) {
  th_layout l = th_read_layout(layout, operands, 0, layout[0]);
  th_sort_axes(&l, operands);
  return l;
}

static void fill_loop(const th_chunk *chunk) {
  const th_word value = *(const th_word *)chunk->context;
  th_word *result = chunk->out;
  const ptrdiff_t n = chunk->n;
  for (ptrdiff_t i = 0; i < n; i++) result[i] = value;
}

/* memcpy moves kilobytes with `rep movsb`, which takes ten times as long where, within a page, the target is up to 15 bytes
   ahead of the source: as where rows are rolled by one. Smaller pieces are moved otherwise. */
static void copy_loop(const th_chunk *chunk) {
  const size_t bytes = (size_t)chunk->n * sizeof(th_word), ahead = ((size_t)chunk->out - (size_t)chunk->a) % 4096;
  const size_t piece = ahead > 0 && ahead < 16 ? 1024 : bytes;
  for (size_t at = 0; at < bytes; at += piece)
    memcpy((char *)chunk->out + at, (const char *)chunk->a + at, bytes - at < piece ? bytes - at : piece);
}

static void to_int_loop(const th_chunk *chunk) {
  const ptrdiff_t n = chunk->n;
  const float *in = chunk->a;
  int32_t *result = chunk->out;
#pragma omp simd
  for (ptrdiff_t i = 0; i < n; i++) {
    const float x = in[i], at_most = x < 0x1.fffffep30f ? x : 0x1.fffffep30f; /* the largest float below 2^31 */
    const int32_t truncated = (int32_t)(at_most > -0x1p31f ? at_most : -0x1p31f);
    result[i] = x != x ? 0 : x >= 0x1p31f ? INT32_MAX : truncated;
  }
}

static void to_float_loop(const th_chunk *chunk) {
  const ptrdiff_t n = chunk->n;
  const int32_t *in = chunk->a;
  float *result = chunk->out;
#pragma omp simd
  for (ptrdiff_t i = 0; i < n; i++) result[i] = (float)in[i];
}

static void where_loop(const th_chunk *chunk) {
  const ptrdiff_t n = chunk->n;
  const th_word value_bits = *(const th_word *)chunk->context, *condition = chunk->a, *a = chunk->b, *b = chunk->c;
  th_word *result = chunk->out;
#pragma omp simd
  for (ptrdiff_t i = 0; i < n; i++) result[i] = condition[i] & value_bits ? a[i] : b[i];
}

int32_t th_fill(void *out, const int32_t *layout, double value, int32_t dtype) {
  const th_layout l = elements_of(layout, 1);
  const scalar p = scalar_of(value, dtype);
  th_for_chunks(&l, 1, (void *[]){out}, fill_loop, &p, GRAIN);
  return TH_STATUS_OK;
}

int32_t th_copy(void *out, const void *in, const int32_t *layout) {
  const th_layout l = elements_of(layout, 2);
  if (!th_transpose(out, in, &l, GRAIN)) th_for_chunks(&l, 2, (void *[]){out, (void *)in}, copy_loop, NULL, GRAIN);
  return TH_STATUS_OK;
}

int32_t th_cast(void *out, const void *in, const int32_t *layout, int32_t from, int32_t to) {
  if (from == to) return th_copy(out, in, layout);
  const th_layout l = elements_of(layout, 2);
  th_for_chunks(&l, 2, (void *[]){out, (void *)in}, to == TH_DTYPE_INT32 ? to_int_loop : to_float_loop, NULL, GRAIN);
  return TH_STATUS_OK;
}

int32_t th_unary(void *out, const void *in, const int32_t *layout, int32_t op, int32_t dtype, double p) {
  const th_layout l = elements_of(layout, 2);
  const scalar context = scalar_of(p, dtype);
  const int heavy = op == TH_UNARY_EXP || op == TH_UNARY_LOG || op == TH_UNARY_TANH || op == TH_UNARY_SIGMOID ||
                    op == TH_UNARY_POW_SCALAR || (op >= TH_UNARY_SIN && op <= TH_UNARY_SOFTPLUS);
  th_chunk_loop loop = unary_loops[dtype][op];
  if (op == TH_UNARY_POW_SCALAR) loop = power_loop(context.f, 0, loop);
  if (op == TH_UNARY_SIN) loop = wave_SIN;
  if (op == TH_UNARY_COS) loop = wave_COS;
  th_for_chunks(&l, 2, (void *[]){out, (void *)in}, loop, &context, heavy ? HEAVY_GRAIN : GRAIN);
  return TH_STATUS_OK;
}

int32_t th_binary(void *out, const void *a, const void *b, const int32_t *layout, int32_t op, int32_t dtype, double p) {
  if (op == TH_BINARY_POW_BACKWARD && p == 0) return th_fill(out, layout, 0, dtype);
  const th_layout l = elements_of(layout, 3);
  const scalar context = scalar_of(p, dtype);
  const int heavy = op == TH_BINARY_POW_BACKWARD || op == TH_BINARY_EXP_SUB ||
                    (op >= TH_BINARY_GELU_BACKWARD && op <= TH_BINARY_SOFTPLUS_BACKWARD);
  th_chunk_loop loop = binary_loops[dtype][op];
  if (op == TH_BINARY_POW_BACKWARD) loop = power_loop(context.f - 1, 1, loop);
  th_for_chunks(&l, 3, (void *[]){out, (void *)a, (void *)b}, loop, &context, heavy ? HEAVY_GRAIN : GRAIN);
  return TH_STATUS_OK;
}

int32_t th_where(void *out, const void *condition, const void *a, const void *b, const int32_t *layout, int32_t dtype) {
  const th_layout l = elements_of(layout, 4);
  const th_word value_bits = dtype == TH_DTYPE_FLOAT32 ? 0x7fffffff : 0xffffffff; /* -0 is zero too */
  th_for_chunks(&l, 4, (void *[]){out, (void *)condition, (void *)a, (void *)b}, where_loop, &value_bits, GRAIN);
  return TH_STATUS_OK;
}

int32_t th_scale(float *x, const float *factor, int32_t n) {
  if (*factor == 1) return TH_STATUS_OK; /* the gradient of a loss that nothing follows */
  const th_layout l = {.ndim = 1, .count = n, .shape = {n}, .stride = {{1}, {1}}};
  th_for_chunks(&l, 2, (void *[]){x, x}, float_unary_MUL_SCALAR, factor, GRAIN);
  return TH_STATUS_OK;
}
