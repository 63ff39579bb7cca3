/* Batch, layer and RMS normalisation against two-pass loops in double precision. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double eps = 1e-5;

/** Mean and biased variance of n numbers that lie `stride` apart. */
static void moments(const float *x, ptrdiff_t n, ptrdiff_t stride, double *mean, double *variance) {
  *mean = *variance = 0;
  for (ptrdiff_t i = 0; i < n; i++) *mean += (double)x[i * stride] / (double)n;
  for (ptrdiff_t i = 0; i < n; i++)
    *variance += ((double)x[i * stride] - *mean) * ((double)x[i * stride] - *mean) / (double)n;
}

typedef struct {
  float *x, *dy, *weight, *bias, *y, *dx, *mean, *istd, *running_mean, *running_var, *dweight, *dbias, *expected,
      *other;
} arrays;

static arrays make(ptrdiff_t count, ptrdiff_t channels, ptrdiff_t stats, double offset) {
  arrays a = {
      test_random(count, 1),    test_random(count, 2),    test_random(channels, 3), test_random(channels, 4),
      test_nan(count),          test_nan(count),          test_nan(stats),          test_nan(stats),
      test_random(channels, 5), test_random(channels, 6), test_nan(channels),       test_nan(channels),
      test_floats(count),       test_floats(channels),
  };
  for (ptrdiff_t i = 0; i < count; i++) a.x[i] += (float)offset;
  for (ptrdiff_t c = 0; c < channels; c++) a.weight[c] += 1.5f;
  return a;
}

static void release(arrays a) {
  float *const all[] = {a.x,    a.dy,           a.weight,      a.bias,    a.y,     a.dx,       a.mean,
                        a.istd, a.running_mean, a.running_var, a.dweight, a.dbias, a.expected, a.other};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* -------------------------------------------------------------------------------------------- batch norm */

/** Gradients as the formulas of thimble.h say, with the stored statistics. */
static void batch_norm_gradients(const arrays *a, ptrdiff_t rows, ptrdiff_t n, int relu, int fixed, double *dweight,
                                 double *dbias, ptrdiff_t c) {
  double sum = 0, product = 0;
  const double mean = (double)a->mean[c], istd = (double)a->istd[c];
  for (int pass = 0; pass < 2; pass++)
    for (ptrdiff_t r = 0; r < rows; r++) {
      const float x = a->x[r * n + c];
      const double hat = ((double)x - mean) * istd;
      const double g = relu && !(a->y[r * n + c] > 0) ? 0 : (double)a->dy[r * n + c];
      if (pass == 0) {
        sum += g;
        product += g * hat;
      } else {
        const double through = fixed ? 0 : sum / (double)rows + hat * product / (double)rows;
        a->expected[r * n + c] = (float)((double)a->weight[c] * istd * (g - through));
      }
    }
  *dbias = sum;
  *dweight = product;
}

static void check_batch_norm(int rows, int channels, double offset, int relu) {
  const ptrdiff_t count = (ptrdiff_t)rows * channels, n = channels;
  arrays a = make(count, n, n, offset);
  const double momentum = 0.1, tolerance = 2e-6 + 2e-7 * fabs(offset);
  const char *const name = relu ? " and ReLU" : "";
  float *running_mean = test_floats(n), *running_var = test_floats(n);
  for (ptrdiff_t c = 0; c < n; c++) {
    double mean, variance;
    moments(a.x + c, rows, n, &mean, &variance);
    running_mean[c] = (float)((double)a.running_mean[c] * (1 - momentum) + momentum * mean);
    running_var[c] =
        (float)((double)a.running_var[c] * (1 - momentum) + momentum * variance * (rows > 1 ? rows / (rows - 1.0) : 1));
    a.other[c] = (float)(1 / sqrt(variance + eps));
    for (ptrdiff_t r = 0; r < rows; r++) {
      const double y = ((double)a.x[r * n + c] - mean) / sqrt(variance + eps) * (double)a.weight[c] + (double)a.bias[c];
      a.expected[r * n + c] = (float)(relu && y < 0 ? 0 : y);
    }
  }
  th_batch_norm(a.y, a.mean, a.istd, a.running_mean, a.running_var, a.x, a.weight, a.bias, rows, channels, eps,
                momentum, relu);
  const double of_y =
      rows < 3 ? 300 * tolerance : 4 * tolerance; /* the mean's rounding is magnified by a tiny deviation */
  check_close(a.y, a.expected, count, of_y, "batch norm%s of %d x %d, mean %g", name, rows, channels, offset);
  check_close(a.istd, a.other, n, rows < 3 ? 1e-3 : 2e-6, "istd of %d x %d, mean %g", rows, channels, offset);
  check_close(a.running_mean, running_mean, n, 1e-6, "running mean of %d x %d", rows, channels);
  check_close(a.running_var, running_var, n, 1e-6, "running variance of %d x %d", rows, channels);

  for (int fixed = 0; fixed < 2; fixed++) {
    double *dweight = malloc(sizeof *dweight * (size_t)n), *dbias = malloc(sizeof *dbias * (size_t)n);
    float *in_place = test_floats(count);
    memcpy(in_place, a.dy, sizeof(float) * (size_t)count);
    for (ptrdiff_t c = 0; c < n; c++) batch_norm_gradients(&a, rows, n, relu, fixed, dweight + c, dbias + c, c);
    th_batch_norm_backward(a.dx, a.dweight, a.dbias, a.dy, a.x, a.weight, a.bias, a.mean, a.istd, rows, channels, relu,
                           fixed);
    const double of_dx = rows < 3 ? 1e-3 : 1e-5;
    check_close(a.dx, a.expected, count, of_dx, "batch norm%s gradient of %d x %d, mean %g, fixed %d", name, rows,
                channels, offset, fixed);
    for (ptrdiff_t c = 0; c < n; c++) {
      check(fabs((double)a.dweight[c] - dweight[c]) <= 3e-6 * (1 + sqrt(rows)), "dweight of %d x %d: %g, not %g", rows,
            channels, (double)a.dweight[c], dweight[c]);
      check(fabs((double)a.dbias[c] - dbias[c]) <= 3e-6 * (1 + sqrt(rows)), "dbias of %d x %d: %g, not %g", rows,
            channels, (double)a.dbias[c], dbias[c]);
    }
    th_batch_norm_backward(in_place, a.dweight, a.dbias, in_place, a.x, a.weight, a.bias, a.mean, a.istd, rows,
                           channels, relu, fixed);
    check(!memcmp(in_place, a.dx, sizeof(float) * (size_t)count), "batch norm gradient in place, %d x %d", rows,
          channels);
    th_batch_norm_backward(NULL, a.dweight, a.dbias, a.dy, a.x, a.weight, a.bias, a.mean, a.istd, rows, channels, relu,
                           fixed);
    check(fabs((double)a.dbias[0] - dbias[0]) <= 3e-6 * (1 + sqrt(rows)), "dbias without dx");
    free(dweight), free(dbias), free(in_place);
  }

  for (ptrdiff_t c = 0; c < n; c++) {
    running_var[c] = fabsf(running_var[c]);
    for (ptrdiff_t r = 0; r < rows; r++) {
      const double y = ((double)a.x[r * n + c] - (double)running_mean[c]) / sqrt((double)running_var[c] + eps) *
                           (double)a.weight[c] +
                       (double)a.bias[c];
      a.expected[r * n + c] = (float)(relu && y < 0 ? 0 : y);
    }
  }
  th_batch_norm_inference(a.y, a.x, a.weight, a.bias, running_mean, running_var, rows, channels, eps, relu);
  check_close(a.y, a.expected, count, 1e-6, "batch norm inference%s of %d x %d", name, rows, channels);
  free(running_mean), free(running_var);
  release(a);
}

TEST_SUITE(batch_norm) {
  static const int rows[] = {1, 2, 3, 64, 65, 130, 1001}, channels[] = {1, 2, 3, 16, 17, 31, 64, 65, 100, 1000};
  for (int r = 0; r < 7; r++)
    for (int c = 0; c < 10; c++)
      if (rows[r] * channels[c] < 200000) check_batch_norm(rows[r], channels[c], (r + c) % 3 ? 0 : 1000, (r + c) & 1);
  check_batch_norm(8192, 16, 0, 1);
  check_batch_norm(40000, 3, 1000, 0);
  check_batch_norm(100003, 1, 0, 1);
  check_batch_norm(7, 5000, 0, 0);
}

/** A channel whose first row is far from the rest, one that is constant, and one that drifts. */
TEST_SUITE(batch_norm_statistics) {
  enum { ROWS = 20000, CHANNELS = 3 };
  float *x = test_random((ptrdiff_t)ROWS * CHANNELS, 1), *y = test_floats((ptrdiff_t)ROWS * CHANNELS);
  for (ptrdiff_t r = 0; r < ROWS; r++) {
    x[r * CHANNELS] = r == 0 ? 1000 : x[r * CHANNELS] * 0.01f;
    x[r * CHANNELS + 1] = 12345.678f;
    x[r * CHANNELS + 2] += (float)r;
  }
  float mean[CHANNELS], istd[CHANNELS], weight[] = {1, 1, 1}, bias[] = {0, 0, 0}, running_mean[CHANNELS] = {0},
                                        running_var[CHANNELS] = {0};
  th_batch_norm(y, mean, istd, running_mean, running_var, x, weight, bias, ROWS, CHANNELS, eps, 1, 0);
  for (int c = 0; c < CHANNELS; c++) {
    double exact, variance;
    moments(x + c, ROWS, CHANNELS, &exact, &variance);
    variance *= ROWS / (ROWS - 1.0);
    check(fabs((double)running_var[c] - variance) <= 2e-6 * variance + 1e-16 * exact * exact,
          "variance of channel %d: %.9g, not %.9g", c, (double)running_var[c], variance);
    check(fabs((double)mean[c] - exact) <= 2e-7 * fabs(exact), "mean of channel %d: %.9g, not %.9g", c, (double)mean[c],
          exact);
  }
  free(x), free(y);
}

TEST_SUITE(batch_norm_nan) {
  float x[] = {NAN, 1, 2, 3}, y[4], dy[] = {1, 1, 1, 1}, dx[4], mean[2], istd[2], weight[] = {1, 1}, bias[] = {0, 0},
        dw[2], db[2];
  th_batch_norm(y, mean, istd, NULL, NULL, x, weight, bias, 2, 2, eps, 0.1, 1);
  check(isnan(y[0]) && isnan(y[2]) && y[1] == 0 && y[3] > 0, "NaN passes ReLU and stays in its channel");
  th_batch_norm_backward(dx, dw, db, dy, x, weight, bias, mean, istd, 2, 2, 1, 0);
  check(!isnan(dx[1]) && !isnan(dx[3]) && !isnan(db[1]), "NaN stays in its channel's gradients");
}

/* -------------------------------------------------------------------------------------------- layer norm */

static void check_layer_norm(int rows, int cols, double offset) {
  const ptrdiff_t count = (ptrdiff_t)rows * cols, n = cols;
  arrays a = make(count, n, rows, offset);
  double *dweight = calloc((size_t)n, sizeof *dweight), *dbias = calloc((size_t)n, sizeof *dbias);
  float *gradient = test_floats(count), *stats = test_floats(rows);
  for (ptrdiff_t r = 0; r < rows; r++) {
    const float *x = a.x + r * n, *dy = a.dy + r * n;
    double mean, variance, sum = 0, dot = 0;
    moments(x, n, 1, &mean, &variance);
    const double istd = 1 / sqrt(variance + eps);
    stats[r] = (float)istd;
    for (ptrdiff_t i = 0; i < n; i++) {
      const double hat = ((double)x[i] - mean) * istd;
      a.expected[r * n + i] = (float)(hat * (double)a.weight[i] + (double)a.bias[i]);
      sum += (double)dy[i] * (double)a.weight[i];
      dot += (double)dy[i] * (double)a.weight[i] * hat;
      dweight[i] += (double)dy[i] * hat;
      dbias[i] += (double)dy[i];
    }
    for (ptrdiff_t i = 0; i < n; i++) {
      const double hat = ((double)x[i] - mean) * istd;
      gradient[r * n + i] =
          (float)(istd * ((double)dy[i] * (double)a.weight[i] - sum / (double)n - hat * dot / (double)n));
    }
  }
  const double tolerance = (cols < 3 ? 3e-4 : 4e-6) + 1e-6 * fabs(offset) * (cols < 3 ? 200 : 1);
  th_layer_norm(a.y, a.mean, a.istd, a.x, a.weight, a.bias, rows, cols, eps);
  check_close(a.y, a.expected, count, tolerance, "layer norm of %d x %d, mean %g", rows, cols, offset);
  check_close(a.istd, stats, rows, cols < 3 ? 1e-3 : 2e-6, "layer norm's istd of %d x %d, mean %g", rows, cols, offset);
  th_layer_norm_backward(a.dx, a.dweight, a.dbias, a.dy, a.x, a.weight, a.mean, a.istd, rows, cols);
  check_close(a.dx, gradient, count, 10 * tolerance, "layer norm gradient of %d x %d, mean %g", rows, cols, offset);
  for (ptrdiff_t i = 0; i < n; i++) {
    check(fabs((double)a.dweight[i] - dweight[i]) <= 2 * tolerance * (1 + rows),
          "layer norm dweight of %d x %d: %g, not %g", rows, cols, (double)a.dweight[i], dweight[i]);
    check(fabs((double)a.dbias[i] - dbias[i]) <= 2e-6 * (1 + sqrt(rows)), "layer norm dbias of %d x %d", rows, cols);
  }
  free(dweight), free(dbias), free(gradient), free(stats);
  release(a);
}

TEST_SUITE(layer_norm) {
  static const int rows[] = {1, 2, 33, 300}, cols[] = {1, 2, 3, 31, 64, 65, 200, 1000};
  for (int r = 0; r < 4; r++)
    for (int c = 0; c < 8; c++) check_layer_norm(rows[r], cols[c], (r + c) % 3 ? 0 : 100);
  check_layer_norm(3, 9001, 0);
}

/* ---------------------------------------------------------------------------------------------- rms norm */

static void check_rms_norm(int rows, int cols, double offset) {
  const ptrdiff_t count = (ptrdiff_t)rows * cols, n = cols;
  arrays a = make(count, n, rows, offset);
  double *dweight = calloc((size_t)n, sizeof *dweight);
  float *gradient = test_floats(count), *stats = test_floats(rows);
  for (ptrdiff_t r = 0; r < rows; r++) {
    const float *x = a.x + r * n, *dy = a.dy + r * n;
    double squares = 0, dot = 0;
    for (ptrdiff_t i = 0; i < n; i++) squares += (double)x[i] * (double)x[i];
    const double irms = 1 / sqrt(squares / (double)n + eps);
    stats[r] = (float)irms;
    for (ptrdiff_t i = 0; i < n; i++) {
      const double hat = (double)x[i] * irms;
      a.expected[r * n + i] = (float)(hat * (double)a.weight[i]);
      dot += (double)dy[i] * (double)a.weight[i] * hat;
      dweight[i] += (double)dy[i] * hat;
    }
    for (ptrdiff_t i = 0; i < n; i++) {
      const double hat = (double)x[i] * irms;
      gradient[r * n + i] = (float)(irms * ((double)dy[i] * (double)a.weight[i] - hat * dot / (double)n));
    }
  }
  th_rms_norm(a.y, a.istd, a.x, a.weight, rows, cols, eps);
  check_close(a.y, a.expected, count, 1e-6, "RMS norm of %d x %d, mean %g", rows, cols, offset);
  check_close(a.istd, stats, rows, 1e-6, "RMS norm's factor of %d x %d, mean %g", rows, cols, offset);
  th_rms_norm_backward(a.dx, a.dweight, a.dy, a.x, a.weight, a.istd, rows, cols);
  check_close(a.dx, gradient, count, 1e-5, "RMS norm gradient of %d x %d, mean %g", rows, cols, offset);
  for (ptrdiff_t i = 0; i < n; i++)
    check(fabs((double)a.dweight[i] - dweight[i]) <= 3e-6 * (1 + sqrt(rows)), "RMS norm dweight of %d x %d: %g, not %g",
          rows, cols, (double)a.dweight[i], dweight[i]);
  free(dweight), free(gradient), free(stats);
  release(a);
}

TEST_SUITE(rms_norm) {
  static const int rows[] = {1, 2, 33, 300}, cols[] = {1, 2, 3, 31, 64, 65, 200, 1000};
  for (int r = 0; r < 4; r++)
    for (int c = 0; c < 8; c++) check_rms_norm(rows[r], cols[c], (r + c) % 3 ? 0 : 100);
  check_rms_norm(3, 9001, 0);
  check_rms_norm(0, 5, 0);
}

TEST_SUITE(rms_norm_any) {
  uint64_t state = 7;
  for (int i = 0; i < 10 * test_draws; i++) {
    const int rows = test_pick(&state, 1, 300), cols = test_pick(&state, 1, 700);
    check_rms_norm(rows, cols, i % 2 ? 0 : 10);
  }
}
