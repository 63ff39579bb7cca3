/* Softmax and cross entropy against double precision. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double log_sum_exp(const float *x, ptrdiff_t n) {
  double max = -INFINITY, sum = 0;
  for (ptrdiff_t i = 0; i < n; i++) max = fmax(max, (double)x[i]);
  for (ptrdiff_t i = 0; i < n; i++) sum += exp((double)x[i] - max);
  return max + log(sum);
}

static void check_softmax(int rows, int cols, float scale) {
  const ptrdiff_t count = (ptrdiff_t)rows * cols, n = cols;
  float *x = test_random(count, 1), *dy = test_random(count, 2), *y = test_nan(count), *dx = test_nan(count),
        *expected = test_floats(count);
  for (ptrdiff_t i = 0; i < count; i++) x[i] *= scale;
  for (int log_output = 0; log_output < 2; log_output++) {
    double log_sum = 0;
    for (ptrdiff_t i = 0; i < count; i++) {
      if (i % n == 0) log_sum = log_sum_exp(x + i, n);
      expected[i] = (float)(log_output ? (double)x[i] - log_sum : exp((double)x[i] - log_sum));
    }
    th_softmax(y, x, rows, cols, log_output);
    check_close(y, expected, count, 4e-7, "softmax of %d x %d, log %d, scale %g", rows, cols, log_output,
                (double)scale);

    for (ptrdiff_t r = 0; r < rows; r++) {
      double sum = 0;
      for (ptrdiff_t i = r * n; i < (r + 1) * n; i++) sum += (double)dy[i] * (log_output ? 1 : (double)y[i]);
      for (ptrdiff_t i = r * n; i < (r + 1) * n; i++)
        expected[i] =
            (float)(log_output ? (double)dy[i] - exp((double)y[i]) * sum : (double)y[i] * ((double)dy[i] - sum));
    }
    th_softmax_backward(dx, dy, y, rows, cols, log_output);
    check_close(dx, expected, count, 2e-6, "softmax gradient of %d x %d, log %d", rows, cols, log_output);
    float *in_place = test_floats(count);
    memcpy(in_place, x, sizeof(float) * (size_t)count);
    th_softmax(in_place, in_place, rows, cols, log_output);
    check(!memcmp(in_place, y, sizeof(float) * (size_t)count), "softmax in place");
    memcpy(in_place, dy, sizeof(float) * (size_t)count);
    th_softmax_backward(in_place, in_place, y, rows, cols, log_output);
    check(!memcmp(in_place, dx, sizeof(float) * (size_t)count), "softmax gradient in place");
    free(in_place);
  }
  free(x), free(dy), free(y), free(dx), free(expected);
}

TEST_SUITE(softmax) {
  static const int sizes[][2] = {{0, 5}, {1, 1}, {3, 2}, {128, 10}, {5, 31}, {7, 64}, {33, 1000}, {3, 10000}};
  for (int i = 0; i < 8; i++) check_softmax(sizes[i][0], sizes[i][1], 3), check_softmax(sizes[i][0], sizes[i][1], 300);
}

TEST_SUITE(softmax_special) {
  float x[] = {-INFINITY, 0, 0, NAN, 1, 2, -INFINITY, -INFINITY, -INFINITY}, y[9];
  th_softmax(y, x, 3, 3, 0);
  check(y[0] == 0 && y[1] == 0.5f && y[2] == 0.5f, "minus infinity has probability zero");
  check(isnan(y[3]) && isnan(y[4]) && isnan(y[5]), "NaN makes its row NaN");
  check(isnan(y[6]), "a row without a possible class is NaN");
  th_softmax(y, x, 1, 3, 1);
  check(y[0] == -INFINITY && fabs((double)y[1] + log(2)) < 1e-6, "the logarithm of zero");
}

static void check_cross_entropy(int rows, int cols, float scale) {
  const ptrdiff_t count = (ptrdiff_t)rows * cols, n = cols;
  float *x = test_random(count, 1), *dx = test_nan(count), *expected = test_floats(count), loss = NAN, alone = NAN;
  int32_t *labels = malloc(sizeof *labels * (size_t)(rows + 1));
  double total = 0;
  for (ptrdiff_t i = 0; i < count; i++) x[i] *= scale;
  for (ptrdiff_t r = 0; r < rows; r++) {
    labels[r] = (int32_t)(r * 7919 % cols);
    const double log_sum = log_sum_exp(x + r * n, n);
    total += (log_sum - (double)x[r * n + labels[r]]) / rows;
    for (ptrdiff_t i = 0; i < n; i++)
      expected[r * n + i] = (float)((exp((double)x[r * n + i] - log_sum) - (i == labels[r])) / rows * 1000);
  }
  check(th_cross_entropy(&loss, dx, x, labels, rows, cols) == TH_STATUS_OK, "status");
  for (ptrdiff_t i = 0; i < count; i++) dx[i] *= 1000;
  check(fabs((double)loss - total) <= 3e-7 * (1 + total), "loss of %d x %d: %.9g, not %.9g", rows, cols, (double)loss,
        total);
  check_close(dx, expected, count, 2e-6, "cross entropy gradient of %d x %d", rows, cols);
  th_cross_entropy(&alone, NULL, x, labels, rows, cols);
  check(fabs((double)alone - (double)loss) <= 2e-7 * (1 + total), "loss without gradient: %.9g, not %.9g",
        (double)alone, (double)loss);
  labels[rows - 1] = cols;
  check(test_settled(th_cross_entropy(&alone, NULL, x, labels, rows, cols)) == TH_STATUS_INDEX,
        "a label beyond the classes");
  labels[rows - 1] = -1;
  check(test_settled(th_cross_entropy(&alone, dx, x, labels, rows, cols)) == TH_STATUS_INDEX && *th_last_error(),
        "a negative label");
  free(x), free(dx), free(expected), free(labels);
}

TEST_SUITE(cross_entropy) {
  static const int sizes[][2] = {{1, 1}, {1, 2}, {128, 10}, {5, 33}, {70, 1000}, {9, 10000}};
  for (int i = 0; i < 6; i++)
    check_cross_entropy(sizes[i][0], sizes[i][1], 4), check_cross_entropy(sizes[i][0], sizes[i][1], 200);
}
