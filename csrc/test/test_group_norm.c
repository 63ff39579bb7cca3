/* Group normalisation against two-pass loops in double precision. */
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double eps = 1e-5;

/** Runs body for each element `at` of the group g, with its channel c. */
#define FOR_GROUP(at, c, ...)                                                                                          \
  for (ptrdiff_t row = 0; row < rows; row++)                                                                           \
    for (ptrdiff_t c = g % groups * width; c < (g % groups + 1) * width; c++) {                                        \
      const ptrdiff_t at = (g / groups * rows + row) * channels + c;                                                   \
      __VA_ARGS__                                                                                                      \
    }

static void check_group_norm(int images, int rows, int channels, int groups, double offset, int affine) {
  const ptrdiff_t count = (ptrdiff_t)images * rows * channels, stats = (ptrdiff_t)images * groups, n = channels;
  const ptrdiff_t width = channels / groups;
  const double size = (double)(rows * width);
  float *x = test_random(count, 1), *dy = test_random(count, 2), *y = test_nan(count), *dx = test_nan(count);
  float *weight = affine ? test_random(n, 3) : NULL, *bias = affine ? test_random(n, 4) : NULL;
  float *mean = test_nan(stats), *istd = test_nan(stats), *dweight = test_nan(n), *dbias = test_nan(n);
  float *of_y = test_floats(count), *of_dx = test_floats(count), *of_istd = test_floats(stats);
  double *of_dweight = calloc((size_t)n, sizeof *of_dweight), *of_dbias = calloc((size_t)n, sizeof *of_dbias);
  for (ptrdiff_t i = 0; i < count; i++) x[i] += (float)offset;
  for (ptrdiff_t g = 0; g < stats; g++) {
    double m = 0, variance = 0, sum = 0, dot = 0;
    FOR_GROUP(at, c, m += (double)x[at] / size;)
    FOR_GROUP(at, c, variance += ((double)x[at] - m) * ((double)x[at] - m) / size;)
    const double s = 1 / sqrt(variance + eps);
    of_istd[g] = (float)s;
    FOR_GROUP(at, c, {
      const double hat = ((double)x[at] - m) * s, w = weight ? (double)weight[c] : 1, d = (double)dy[at];
      of_y[at] = (float)(hat * w + (bias ? (double)bias[c] : 0));
      sum += d * w / size;
      dot += d * w * hat / size;
      of_dweight[c] += d * hat;
      of_dbias[c] += d;
    })
    FOR_GROUP(at, c, {
      const double hat = ((double)x[at] - m) * s, w = weight ? (double)weight[c] : 1;
      of_dx[at] = (float)(s * ((double)dy[at] * w - sum - hat * dot));
    })
  }
  char name[100];
  snprintf(name, sizeof name, "group norm of %d x %d x %d in %d, mean %g", images, rows, channels, groups, offset);
  /* Few numbers may lie close together, and then the rounding of their mean is magnified. None have no statistics. */
  const double few = size < 4 ? 200 : size < 20 ? 10 : 1, tolerance = few * (3e-6 + 3e-7 * fabs(offset));
  check(th_group_norm(y, mean, istd, x, weight, bias, images, rows, channels, groups, eps) == TH_STATUS_OK, "status");
  check_close(y, of_y, count, tolerance, "%s", name);
  if (rows > 0) check_close(istd, of_istd, stats, tolerance, "%s: istd", name);
  th_group_norm_backward(dx, dweight, dbias, dy, x, weight, mean, istd, images, rows, channels, groups);
  check_close(dx, of_dx, count, 10 * tolerance, "%s: dx", name);
  for (ptrdiff_t c = 0; c < n; c++) {
    check(fabs((double)dweight[c] - of_dweight[c]) <= tolerance * (1 + sqrt(images * rows)) * (1 + fabs(of_dweight[c])),
          "%s: dweight %g, not %g", name, (double)dweight[c], of_dweight[c]);
    check(fabs((double)dbias[c] - of_dbias[c]) <= 2e-6 * (1 + sqrt(images * rows)), "%s: dbias", name);
  }
  th_group_norm_backward(NULL, NULL, dbias, dy, x, weight, mean, istd, images, rows, channels, groups);
  check(n == 0 || fabs((double)dbias[0] - of_dbias[0]) <= 2e-6 * (1 + sqrt(images * rows)), "%s: dbias alone", name);
  float *in_place = test_floats(count);
  memcpy(in_place, dy, sizeof(float) * (size_t)count);
  th_group_norm_backward(in_place, NULL, NULL, in_place, x, weight, mean, istd, images, rows, channels, groups);
  check(!memcmp(in_place, dx, sizeof(float) * (size_t)count), "%s: dx in place, twice the same bits", name);
  float *const all[] = {x, dy, weight, bias, y, dx, mean, istd, dweight, dbias, of_y, of_dx, of_istd, in_place};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
  free(of_dweight), free(of_dbias);
}

TEST_SUITE(group_norm) {
  static const struct {
    int images, rows, channels, groups;
  } shapes[] = {
      {2, 9, 6, 3},     {1, 1, 4, 2},    {3, 1, 64, 8},     {1, 1000, 3, 3},  {1, 4096, 8, 1},
      {5, 49, 100, 10}, {2, 70, 130, 2}, {1, 300, 320, 32}, {40, 25, 5, 5},   {7, 4, 1, 1},
      {0, 5, 4, 2},     {4, 0, 6, 2},    {33, 16, 16, 4},   {1, 3, 4100, 20}, {1, 40000, 3, 1},
  };
  for (int i = 0; i < (int)(sizeof shapes / sizeof *shapes); i++)
    for (int affine = 0; affine < 2; affine++)
      check_group_norm(shapes[i].images, shapes[i].rows, shapes[i].channels, shapes[i].groups, i % 3 ? 0 : 100, affine);
}

TEST_SUITE(group_norm_any) {
  uint64_t state = 5;
  for (int i = 0; i < 30 * test_draws; i++) {
    const int groups = test_pick(&state, 1, 12), channels = groups * test_pick(&state, 1, 20);
    const int images = test_pick(&state, 1, 20), rows = test_pick(&state, 1, 1 + 100000 / (images * channels));
    check_group_norm(images, rows, channels, groups, i % 4 ? 0 : 10, i % 3 > 0);
  }
}
