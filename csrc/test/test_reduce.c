/* Reductions of every layout against loops in double precision. */
#include "layouts.h"

#include <math.h>
#include <stdlib.h>

static double reference(const test_shape *shape, const test_array *in, ptrdiff_t output, ptrdiff_t n, int op) {
  const int least = op == TH_REDUCE_MIN || op == TH_REDUCE_ARG_MIN;
  double sum = 0, max = -INFINITY; /* of -x for the least */
  ptrdiff_t index = 0;
  for (ptrdiff_t j = 0; j < n; j++) {
    const double x = (double)in->first[test_offset(shape, in, output * n + j)];
    const double v = least ? -x : x;
    sum += x;
    if (j == 0 || v > max || (isnan(v) && !isnan(max))) max = v, index = j;
  }
  if (op == TH_REDUCE_SUM) return sum;
  if (op == TH_REDUCE_MAX) return max;
  if (op == TH_REDUCE_MIN) return -max;
  if (op == TH_REDUCE_ARG_MAX || op == TH_REDUCE_ARG_MIN) return (double)index;
  sum = 0;
  for (ptrdiff_t j = 0; j < n; j++) sum += exp((double)in->first[test_offset(shape, in, output * n + j)] - max);
  return isinf(max) ? max : max + log(sum);
}

static void check_reduction(const test_shape *shape, const test_array *in, int reduced, int op, test_kind kind) {
  ptrdiff_t n = 1, outputs = 1;
  for (int i = 0; i < shape->ndim; i++) *(i < shape->ndim - reduced ? &outputs : &n) *= shape->shape[i];
  if (n == 0 && op != TH_REDUCE_SUM) return;
  int32_t layout[1 + 2 * 16];
  test_layout(layout, shape, 1, (const test_array *const[]){in});
  float *out = test_nan(outputs), *expected = test_floats(outputs);
  const double scale = op == TH_REDUCE_SUM ? 0.25 : 1;
  check(th_reduce(out, in->first, layout, reduced, op, TH_DTYPE_FLOAT32, scale) == TH_STATUS_OK, "status");
  for (ptrdiff_t i = 0; i < outputs; i++) {
    expected[i] = (float)(reference(shape, in, i, n, op) * scale);
    if (op == TH_REDUCE_ARG_MAX || op == TH_REDUCE_ARG_MIN) out[i] = (float)((const int32_t *)out)[i];
  }
  check_close(out, expected, outputs, op == TH_REDUCE_SUM ? 2e-6 + 2e-7 * sqrt((double)n) : 4e-7,
              "op %d of the last %d of %d axes, %td elements, kind %d", op, reduced, shape->ndim, shape->count, kind);
  free(out), free(expected);
}

TEST_SUITE(reduce_layouts) {
  for (int s = 0; s < TEST_SHAPES; s++)
    for (test_kind kind = CONTIGUOUS; kind < KINDS; kind++) {
      test_array in = test_strided(&test_shapes[s], kind, 5);
      for (int reduced = 0; reduced <= test_shapes[s].ndim; reduced++)
        for (int op = TH_REDUCE_SUM; op <= TH_REDUCE_ARG_MIN; op++)
          check_reduction(&test_shapes[s], &in, reduced, op, kind);
      free(in.memory);
    }
}

/** Kept columns that are two apart: more than a block of them, and rows that do not fill one; and many short rows. */
TEST_SUITE(reduce_spread) {
  const test_shape columns = {2, {300, 1037}, 300 * 1037}, rows = {2, {20011, 5}, 20011 * 5};
  test_array in = {.memory = test_random(1037 * 600, 3), .floats = 1037 * 600, .stride = {2, 600}};
  test_array narrow = {.memory = test_random(20011 * 7, 4), .floats = 20011 * 7, .stride = {7, 1}};
  in.first = in.memory, narrow.first = narrow.memory;
  for (int op = TH_REDUCE_SUM; op <= TH_REDUCE_MIN; op++) {
    check_reduction(&columns, &in, 1, op, GAPS);
    check_reduction(&rows, &narrow, 1, op, GAPS);
  }
  free(in.memory), free(narrow.memory);
}

TEST_SUITE(reduce_special) {
  static const float rows[][4] = {{1, NAN, 3, NAN},
                                  {-INFINITY, -INFINITY, -INFINITY, -INFINITY},
                                  {INFINITY, 1, 2, 3},
                                  {-INFINITY, 2, 2, 1},
                                  {1000, 1000, -1000, 999},
                                  {NAN, -INFINITY, 0, NAN},
                                  {INFINITY, INFINITY, INFINITY, INFINITY}};
  enum { ROWS_ = 7 };
  const test_shape along = {2, {ROWS_, 4}, 4 * ROWS_}, across = {2, {4, ROWS_}, 4 * ROWS_};
  test_array in = {.first = (float *)rows, .floats = 4 * ROWS_, .stride = {4, 1}};
  test_array transposed = in;
  transposed.stride[0] = 1, transposed.stride[1] = 4;
  for (int op = TH_REDUCE_MAX; op <= TH_REDUCE_ARG_MIN; op++) {
    check_reduction(&along, &in, 1, op, CONTIGUOUS);
    check_reduction(&across, &transposed, 1, op, PERMUTED);
    check_reduction(&across, &transposed, 2, op, PERMUTED);
  }
}

/** A long sum keeps float's precision, also where partial sums are much larger than the terms. */
TEST_SUITE(reduce_accuracy) {
  enum { N = 10000000 };
  float *x = test_random(N, 9), out[4];
  double sum = 0, columns[4] = {0};
  for (ptrdiff_t i = 0; i < N; i++) x[i] += 1, sum += (double)x[i], columns[i % 4] += (double)x[i];
  th_reduce(out, x, (const int32_t[]){1, N, 1}, 1, TH_REDUCE_SUM, TH_DTYPE_FLOAT32, 1.0 / N);
  check(fabs((double)out[0] * N / sum - 1) < 2e-7, "mean of 10^7: relative error %g", (double)out[0] * N / sum - 1);
  th_reduce(out, x, (const int32_t[]){2, 4, N / 4, 1, 4}, 1, TH_REDUCE_SUM, TH_DTYPE_FLOAT32, 1);
  for (int j = 0; j < 4; j++)
    check(fabs((double)out[j] / columns[j] - 1) < 2e-7, "column sum: relative error %g",
          (double)out[j] / columns[j] - 1);
  free(x);
}

TEST_SUITE(reduce_int32) {
  static const int32_t x[2][3] = {{INT32_MAX, 1, -5}, {-7, -7, -9}};
  int32_t out[3];
  const int32_t rows[] = {2, 2, 3, 3, 1}, columns[] = {2, 3, 2, 1, 3};
  th_reduce(out, x, rows, 1, TH_REDUCE_SUM, TH_DTYPE_INT32, 1);
  check(out[0] == (int32_t)((uint32_t)INT32_MAX + 1u - 5u), "a sum that wraps is %d", out[0]);
  check(out[1] == -23, "sum is %d", out[1]);
  th_reduce(out, x, rows, 1, TH_REDUCE_MAX, TH_DTYPE_INT32, 1);
  check(out[0] == INT32_MAX && out[1] == -7, "maxima are %d, %d", out[0], out[1]);
  th_reduce(out, x, rows, 1, TH_REDUCE_ARG_MAX, TH_DTYPE_INT32, 1);
  check(out[0] == 0 && out[1] == 0, "indices are %d, %d", out[0], out[1]);
  th_reduce(out, x, columns, 1, TH_REDUCE_MAX, TH_DTYPE_INT32, 1);
  check(out[0] == INT32_MAX && out[1] == 1 && out[2] == -5, "column maxima are %d, %d, %d", out[0], out[1], out[2]);
  static const int32_t y[2][3] = {{INT32_MIN, 1, INT32_MIN}, {7, -7, INT32_MAX}};
  th_reduce(out, y, rows, 1, TH_REDUCE_MIN, TH_DTYPE_INT32, 1);
  check(out[0] == INT32_MIN && out[1] == -7, "minima are %d, %d", out[0], out[1]);
  th_reduce(out, y, rows, 1, TH_REDUCE_ARG_MIN, TH_DTYPE_INT32, 1);
  check(out[0] == 0 && out[1] == 1, "indices are %d, %d", out[0], out[1]);
  th_reduce(out, y, columns, 1, TH_REDUCE_MIN, TH_DTYPE_INT32, 1);
  check(out[0] == INT32_MIN && out[1] == -7 && out[2] == INT32_MIN, "column minima are %d, %d, %d", out[0], out[1],
        out[2]);
}
