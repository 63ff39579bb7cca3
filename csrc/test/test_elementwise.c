/* Elementwise kernels: every operation, on arrays that lie one after another. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float special[] = {0.0f,   -0.0f,   1.0f,   -1.0f,  0.5f,   2.0f,  -3.25f,  1e-30f,   -1e-30f,
                                1e-40f, -1e-40f, 88.7f,  88.75f, -87.4f, -104,  -103.9f, INFINITY, -INFINITY,
                                NAN,    3e38f,   -3e38f, 0.625f, -0.62f, 1e-5f, 0.7071f, 1.4142f};
enum { SPECIALS = sizeof special / sizeof *special, POINTS = 4001 };

/** Special numbers, then a range that every function is used in. */
static float *arguments(void) {
  float *x = test_floats(POINTS);
  for (int i = 0; i < POINTS; i++) x[i] = i < SPECIALS ? special[i] : (float)(i - 2000) * 0.0173f;
  return x;
}

static double unary(int op, double x, double p) {
  switch (op) {
  case TH_UNARY_NEG: return -x;
  case TH_UNARY_EXP: return exp(x);
  case TH_UNARY_LOG: return log(x);
  case TH_UNARY_SQRT: return sqrt(x);
  case TH_UNARY_TANH: return tanh(x);
  case TH_UNARY_RELU: return x < 0 ? 0 : x;
  case TH_UNARY_SIGMOID: return 1 / (1 + exp(-x));
  case TH_UNARY_ABS: return fabs(x);
  case TH_UNARY_ADD_SCALAR: return x + p;
  case TH_UNARY_MUL_SCALAR: return x * p;
  case TH_UNARY_RSUB_SCALAR: return p - x;
  case TH_UNARY_DIV_SCALAR: return x / p;
  case TH_UNARY_RDIV_SCALAR: return p / x;
  case TH_UNARY_POW_SCALAR: return pow(x, p);
  case TH_UNARY_MAXIMUM_SCALAR: return isnan(x) || isnan(p) ? NAN : fmax(x, p);
  case TH_UNARY_EQUAL_SCALAR: return x == p;
  case TH_UNARY_GREATER_SCALAR: return x > p;
  case TH_UNARY_MINIMUM_SCALAR: return isnan(x) || isnan(p) ? NAN : fmin(x, p);
  case TH_UNARY_NOT_EQUAL_SCALAR: return x != p;
  case TH_UNARY_LESS_SCALAR: return x < p;
  case TH_UNARY_LESS_EQUAL_SCALAR: return x <= p;
  case TH_UNARY_GREATER_EQUAL_SCALAR: return x >= p;
  case TH_UNARY_SIN: return sin(x);
  case TH_UNARY_COS: return cos(x);
  case TH_UNARY_GELU: return x * (0.5 * erfc(-x * M_SQRT1_2));
  case TH_UNARY_SILU: return x * (1 / (1 + exp(-x)));
  case TH_UNARY_SOFTPLUS: return fmax(x, 0) + log1p(exp(-fabs(x))) + (isnan(x) ? x : 0);
  case TH_UNARY_LEAKY_RELU: return x < 0 ? p * x : x;
  case TH_UNARY_FLOOR: return floor(x);
  case TH_UNARY_CEIL: return ceil(x);
  case TH_UNARY_ROUND: return rint(x);
  case TH_UNARY_HUBER: return fabs(x) <= p ? x * x / 2 : p * (fabs(x) - p / 2);
  default: abort();
  }
}

/** Agreement to a few float roundings of the exact value, which may be subnormal (and then flushed) or overflow. */
static int agrees(float actual, double exact, double tolerance) {
  const float rounded = (float)exact;
  if (isnan(rounded)) return isnan(actual);
  if (isinf(rounded) || rounded == 0) return actual == rounded || fabs((double)actual - exact) < 1.2e-38;
  return fabs((double)actual - exact) <= tolerance * fabs(exact) + 1.2e-38;
}

static void check_unary(int op, double p) {
  float *x = arguments(), *y = test_nan(POINTS);
  const int32_t layout[] = {1, POINTS, 1, 1};
  check(th_unary(y, x, layout, op, TH_DTYPE_FLOAT32, p) == TH_STATUS_OK, "status");
  /* The bell of GELU has the rounding of -x² / 2, of up to 87, in its exponent. */
  const double tolerance = op == TH_UNARY_GELU ? 6e-6 : op >= TH_UNARY_SIN || op == TH_UNARY_POW_SCALAR ? 3e-7 : 1.6e-7;
  for (int i = 0; i < POINTS; i++)
    if (!agrees(y[i], unary(op, (double)x[i], (double)(float)p), tolerance))
      check(0, "unary %d, p %g: x %.9g gives %.9g, not %.9g", op, p, (double)x[i], (double)y[i],
            unary(op, (double)x[i], (double)(float)p));
  check(1, "unary");
  free(x), free(y);
}

TEST_SUITE(unary) {
  static const double powers[] = {3, 2, 1, 0.5, 0, -0.5, -1, -2, 2.5, -3, 7};
  for (int op = TH_UNARY_NEG; op <= TH_UNARY_HUBER; op++) check_unary(op, 0.5), check_unary(op, -3.25);
  for (size_t i = 0; i < sizeof powers / sizeof *powers; i++) check_unary(TH_UNARY_POW_SCALAR, powers[i]);
  check_unary(TH_UNARY_MAXIMUM_SCALAR, NAN);
  check_unary(TH_UNARY_MINIMUM_SCALAR, NAN);
}

static double binary(int op, double x, double y, double p) {
  switch (op) {
  case TH_BINARY_ADD: return x + y;
  case TH_BINARY_SUB: return x - y;
  case TH_BINARY_MUL: return x * y;
  case TH_BINARY_DIV: return x / y;
  case TH_BINARY_MAXIMUM: return isnan(x) || isnan(y) ? NAN : fmax(x, y);
  case TH_BINARY_EQUAL: return x == y;
  case TH_BINARY_GREATER: return x > y;
  case TH_BINARY_TANH_BACKWARD: return x * (1 - y * y);
  case TH_BINARY_SIGMOID_BACKWARD: return x * y * (1 - y);
  case TH_BINARY_RELU_BACKWARD: return y > 0 ? x : 0;
  case TH_BINARY_SQRT_BACKWARD: return x / (2 * y);
  case TH_BINARY_ABS_BACKWARD: return x * (y > 0 ? 1 : y < 0 ? -1 : 0);
  case TH_BINARY_POW_BACKWARD: return p == 0 ? 0 : x * (p * pow(y, p - 1));
  case TH_BINARY_MAXIMUM_BACKWARD: return x < y ? 0 : x == y ? 0.5 : 1;
  case TH_BINARY_EXP_SUB: return x == y ? 1 : exp(x - y);
  case TH_BINARY_MINIMUM: return isnan(x) || isnan(y) ? NAN : fmin(x, y);
  case TH_BINARY_NOT_EQUAL: return x != y;
  case TH_BINARY_GREATER_EQUAL: return x >= y;
  case TH_BINARY_GELU_BACKWARD:
    return x * (0.5 * erfc(-y * M_SQRT1_2) + y * (exp(-0.5 * y * y) * (0.5 * M_SQRT1_2 * M_2_SQRTPI)));
  case TH_BINARY_SILU_BACKWARD: return x * (1 / (1 + exp(-y))) * (1 + y * (1 - 1 / (1 + exp(-y))));
  case TH_BINARY_SOFTPLUS_BACKWARD: return x * (1 / (1 + exp(-y)));
  case TH_BINARY_LEAKY_RELU_BACKWARD: return y > 0 ? x : p * x;
  case TH_BINARY_LESS: return x < y;
  case TH_BINARY_LESS_EQUAL: return x <= y;
  case TH_BINARY_HUBER_BACKWARD: return x * (y < -p ? -p : y > p ? p : y);
  default: abort();
  }
}

static void check_binary(int op, double p) {
  enum { N = SPECIALS * SPECIALS };
  float *x = test_floats(N), *y = test_floats(N), *out = test_nan(N);
  const int32_t layout[] = {1, N, 1, 1, 1};
  for (int i = 0; i < N; i++) x[i] = special[i / SPECIALS], y[i] = special[i % SPECIALS];
  check(th_binary(out, x, y, layout, op, TH_DTYPE_FLOAT32, p) == TH_STATUS_OK, "status");
  for (int i = 0; i < N; i++) {
    /* A product may overflow in float on its way to a result that fits: the numbers near the limits are not compared. */
    const double a = (double)x[i], b = (double)y[i], exact = binary(op, a, b, p);
    if (op >= TH_BINARY_TANH_BACKWARD &&
        ((fabs(a) > 1e20 && !isinf(a)) || (fabs(b) > 1e18 && !isinf(b)) || (b != 0 && fabs(b) < 1e-18)))
      continue;
    if (op == TH_BINARY_EXP_SUB && fabs(a - b) < 200 && a - b != (double)(x[i] - y[i])) continue;
    if (isinf(a) && b < -87 && op >= TH_BINARY_GELU_BACKWARD) continue; /* times a sigmoid that is zero in float */
    if (!agrees(out[i], exact, 4e-7))
      check(0, "binary %d, p %g: (%g, %g) gives %.9g, not %.9g", op, p, a, b, (double)out[i], exact);
  }
  check(1, "binary");
  for (int i = 0; i < SPECIALS; i++) { /* one operand a single number */
    float left[SPECIALS], right[SPECIALS];
    th_binary(left, special + i, special, (const int32_t[]){1, SPECIALS, 1, 0, 1}, op, TH_DTYPE_FLOAT32, p);
    th_binary(right, special, special + i, (const int32_t[]){1, SPECIALS, 1, 1, 0}, op, TH_DTYPE_FLOAT32, p);
    for (int j = 0; j < SPECIALS; j++) {
      const float of_left = out[i * SPECIALS + j], of_right = out[j * SPECIALS + i];
      check(agrees(left[j], (double)of_left, 4e-7), "binary %d, p %g: (%g, …) gives %.9g, not %.9g", op, p,
            (double)special[i], (double)left[j], (double)of_left);
      check(agrees(right[j], (double)of_right, 4e-7), "binary %d, p %g: (…, %g) gives %.9g, not %.9g", op, p,
            (double)special[i], (double)right[j], (double)of_right);
    }
  }
  free(x), free(y), free(out);
}

TEST_SUITE(binary) {
  for (int op = TH_BINARY_ADD; op <= TH_BINARY_HUBER_BACKWARD; op++) check_binary(op, 2);
  static const double powers[] = {0, 1, 3, 0.5, -1, 1.5, 2.25};
  for (size_t i = 0; i < sizeof powers / sizeof *powers; i++) check_binary(TH_BINARY_POW_BACKWARD, powers[i]);
}

TEST_SUITE(lerp) {
  enum { N = 1003 };
  static const double weights[] = {0, 0.25, 0.49, 0.5, 0.9, 1, -0.5, 1.75};
  const int32_t layout[] = {1, N, 1, 1, 1};
  float *x = test_random(N, 3), *y = test_random(N, 4), *out = test_nan(N);
  for (size_t w = 0; w < sizeof weights / sizeof *weights; w++) {
    const double p = weights[w];
    check(th_binary(out, x, y, layout, TH_BINARY_LERP, TH_DTYPE_FLOAT32, p) == TH_STATUS_OK, "status");
    for (int i = 0; i < N; i++) {
      const double a = (double)x[i], b = (double)y[i], exact = a + (double)(float)p * (b - a);
      const double error = fabs((double)out[i] - exact), scale = p == 0 || p == 1 ? 0 : fabs(a) + fabs(b);
      check(error <= 5e-7 * scale, "lerp %g: (%g, %g) gives %.9g, not %.9g", p, a, b, (double)out[i], exact);
    }
  }
  free(x), free(y), free(out);
}

/* ------------------------------------------------------------------------------------------ int32, cast */

TEST_SUITE(int32) {
  enum { N = 9 };
  static const int32_t x[N] = {0, 1, -1, 7, -7, INT32_MAX, INT32_MIN, 100000, 3},
                       y[N] = {3, 1, -2, -7, 7, 1, -1, 100000, 3};
  const int32_t one[] = {1, N, 1, 1}, two[] = {1, N, 1, 1, 1};
  int32_t out[N];
#define EACH(CALL, EXPECTED)                                                                                           \
  CALL;                                                                                                                \
  for (int i = 0; i < N; i++) {                                                                                        \
    const uint32_t a = (uint32_t)x[i], b = (uint32_t)y[i];                                                             \
    (void)a, (void)b;                                                                                                  \
    check(out[i] == (int32_t)(EXPECTED), "%s: [%d] is %d, not %d", #CALL, i, out[i], (int32_t)(EXPECTED));             \
  }
#define UNARY(OP, P, EXPECTED) EACH(th_unary(out, x, one, TH_UNARY_##OP, TH_DTYPE_INT32, P), EXPECTED)
#define BINARY(OP, EXPECTED) EACH(th_binary(out, x, y, two, TH_BINARY_##OP, TH_DTYPE_INT32, 0), EXPECTED)
  UNARY(NEG, 0, 0u - a)
  UNARY(ABS, 0, x[i] < 0 ? 0u - a : a)
  UNARY(ADD_SCALAR, 5, a + 5u)
  UNARY(MUL_SCALAR, -3, a * (uint32_t)-3)
  UNARY(RSUB_SCALAR, 2, 2u - a)
  UNARY(MAXIMUM_SCALAR, -1, x[i] > -1 ? x[i] : -1)
  UNARY(EQUAL_SCALAR, 7, x[i] == 7)
  UNARY(GREATER_SCALAR, -1, x[i] > -1)
  UNARY(MINIMUM_SCALAR, -1, x[i] < -1 ? x[i] : -1)
  UNARY(NOT_EQUAL_SCALAR, 7, x[i] != 7)
  UNARY(LESS_SCALAR, -1, x[i] < -1)
  UNARY(LESS_EQUAL_SCALAR, -1, x[i] <= -1)
  UNARY(GREATER_EQUAL_SCALAR, -1, x[i] >= -1)
  BINARY(ADD, a + b)
  BINARY(SUB, a - b)
  BINARY(MUL, a * b)
  BINARY(MAXIMUM, x[i] > y[i] ? x[i] : y[i])
  BINARY(EQUAL, x[i] == y[i])
  BINARY(GREATER, x[i] > y[i])
  BINARY(MINIMUM, x[i] < y[i] ? x[i] : y[i])
  BINARY(NOT_EQUAL, x[i] != y[i])
  BINARY(GREATER_EQUAL, x[i] >= y[i])
  BINARY(LESS, x[i] < y[i])
  BINARY(LESS_EQUAL, x[i] <= y[i])
  EACH(th_where(out, x, x, y, ((const int32_t[]){1, N, 1, 1, 1, 1}), TH_DTYPE_INT32), x[i] ? x[i] : y[i])
}

TEST_SUITE(cast) {
  enum { N = 13 };
  static const float x[N] = {0.9f,      -0.9f, 1.5f,          -2.5f,    3e9f,    -3e9f, INFINITY,
                             -INFINITY, NAN,   2147483520.0f, -0x1p31f, 0x1p31f, -0.0f};
  static const int32_t expected[N] = {0,         0, 1,          -2,        INT32_MAX, INT32_MIN, INT32_MAX,
                                      INT32_MIN, 0, 2147483520, INT32_MIN, INT32_MAX, 0};
  const int32_t layout[] = {1, N, 1, 1};
  int32_t ints[N], copied[N];
  float floats[N];
  th_cast(ints, x, layout, TH_DTYPE_FLOAT32, TH_DTYPE_INT32);
  for (int i = 0; i < N; i++)
    check(ints[i] == expected[i], "%g becomes %d, not %d", (double)x[i], ints[i], expected[i]);
  th_cast(floats, expected, layout, TH_DTYPE_INT32, TH_DTYPE_FLOAT32);
  for (int i = 0; i < N; i++) check(floats[i] == (float)expected[i], "%d becomes %g", expected[i], (double)floats[i]);
  th_cast(copied, ints, layout, TH_DTYPE_INT32, TH_DTYPE_INT32);
  check(!memcmp(copied, ints, sizeof ints), "a cast to the same dtype copies");
  th_fill(ints, (const int32_t[]){1, N, 1}, -5, TH_DTYPE_INT32);
  for (int i = 0; i < N; i++) check(ints[i] == -5, "an int32 fill");
}

TEST_SUITE(scale) {
  static const int sizes[] = {0, 1, 17, 40000};
  for (int s = 0; s < 4; s++) {
    const int n = sizes[s];
    float *x = test_random(n, 1), *expected = test_random(n, 1), factor = 0.375f;
    for (int i = 0; i < n; i++) expected[i] *= factor;
    th_scale(x, &factor, n);
    check_close(x, expected, n, 0, "scale %d", n);
    free(x), free(expected);
  }
}
