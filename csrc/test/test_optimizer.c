/* Optimizer steps over parameter lists of mixed sizes. */
#include "test.h"

#include <math.h>
#include <stdlib.h>

enum { LISTS = 6 };
static const int sizes[LISTS] = {1, 0, 17, 70001, 3, 1000};

static double number_of(const void *pointer) { return (double)(uintptr_t)pointer; }

static void check_sgd(double momentum, double weight_decay, int nesterov) {
  double table[LISTS * 4];
  float *p[LISTS], *g[LISTS], *buffer[LISTS], *p2[LISTS], *b2[LISTS];
  for (int i = 0; i < LISTS; i++) {
    p[i] = test_random(sizes[i], 1), g[i] = test_random(sizes[i], 2), buffer[i] = test_random(sizes[i], 3);
    p2[i] = test_random(sizes[i], 1), b2[i] = test_random(sizes[i], 3);
    const double row[] = {number_of(p[i]), number_of(g[i]), momentum != 0 ? number_of(buffer[i]) : 0, sizes[i]};
    for (int k = 0; k < 4; k++) table[4 * i + k] = row[k];
  }
  th_sgd(table, LISTS, 0.1, momentum, weight_decay, nesterov);
  for (int i = 0; i < LISTS; i++) {
    for (int j = 0; j < sizes[i]; j++) {
      const double gradient = (double)g[i][j] + weight_decay * (double)p2[i][j];
      const double step = (momentum != 0 ? momentum * (double)b2[i][j] : 0) + gradient;
      if (momentum != 0) b2[i][j] = (float)step;
      p2[i][j] = (float)((double)p2[i][j] - 0.1 * (nesterov ? gradient + momentum * step : step));
    }
    check_close(p[i], p2[i], sizes[i], 3e-7, "SGD parameter %d", i);
    check_close(buffer[i], b2[i], sizes[i], 3e-7, "SGD momentum buffer %d", i);
    free(p[i]), free(g[i]), free(buffer[i]), free(p2[i]), free(b2[i]);
  }
}

TEST_SUITE(sgd) {
  check_sgd(0, 0, 0);
  check_sgd(0.9, 0, 0);
  check_sgd(0.9, 0.01, 0);
  check_sgd(0, 0.01, 0);
  check_sgd(0.9, 0.01, 1);
}

static void check_adam(int decoupled) {
  const double lr = 0.01, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, decay = 0.02;
  double table[LISTS * 5];
  float *p[LISTS], *g[LISTS], *m[LISTS], *v[LISTS], *p2[LISTS], *m2[LISTS], *v2[LISTS];
  for (int i = 0; i < LISTS; i++) {
    p[i] = test_random(sizes[i], 1), g[i] = test_random(sizes[i], 2), m[i] = test_random(sizes[i], 3),
    v[i] = test_random(sizes[i], 4);
    p2[i] = test_random(sizes[i], 1), m2[i] = test_random(sizes[i], 3), v2[i] = test_random(sizes[i], 4);
    for (int j = 0; j < sizes[i]; j++) v[i][j] = v2[i][j] = fabsf(v[i][j]);
    const double row[] = {number_of(p[i]), number_of(g[i]), number_of(m[i]), number_of(v[i]), sizes[i]};
    for (int k = 0; k < 5; k++) table[5 * i + k] = row[k];
  }
  for (int step = 1; step <= 2; step++) {
    const double c1 = 1 - pow(beta1, step), c2 = 1 - pow(beta2, step);
    th_adam(table, LISTS, lr, beta1, beta2, eps, decay, decoupled, c1, c2);
    for (int i = 0; i < LISTS; i++) {
      for (int j = 0; j < sizes[i]; j++) {
        const double gradient = (double)g[i][j] + (decoupled ? 0 : decay * (double)p2[i][j]);
        if (decoupled) p2[i][j] = (float)((double)p2[i][j] * (1 - lr * decay));
        m2[i][j] = (float)(beta1 * (double)m2[i][j] + (1 - beta1) * gradient);
        v2[i][j] = (float)(beta2 * (double)v2[i][j] + (1 - beta2) * gradient * gradient);
        p2[i][j] = (float)((double)p2[i][j] - lr * ((double)m2[i][j] / c1) / (sqrt((double)v2[i][j] / c2) + eps));
      }
      check_close(p[i], p2[i], sizes[i], 1e-6, "Adam parameter %d, step %d", i, step);
      check_close(m[i], m2[i], sizes[i], 3e-7, "Adam first moment %d, step %d", i, step);
      check_close(v[i], v2[i], sizes[i], 3e-7, "Adam second moment %d, step %d", i, step);
    }
  }
  for (int i = 0; i < LISTS; i++) free(p[i]), free(g[i]), free(m[i]), free(v[i]), free(p2[i]), free(m2[i]), free(v2[i]);
}

TEST_SUITE(adam) {
  check_adam(0);
  check_adam(1);
}

static void check_rmsprop(double momentum, int centered) {
  const double lr = 0.01, alpha = 0.9, eps = 1e-3, decay = 0.02;
  enum { ARRAYS = 5 };
  double table[LISTS * (ARRAYS + 1)];
  float *a[LISTS][ARRAYS], *b[LISTS][ARRAYS]; /* parameter, gradient, squares, buffer, mean */
  for (int i = 0; i < LISTS; i++) {
    for (int k = 0; k < ARRAYS; k++) a[i][k] = test_random(sizes[i], k), b[i][k] = test_random(sizes[i], k);
    /* A variance that is not near zero, where the rounding of its terms would be magnified. */
    for (int j = 0; j < sizes[i]; j++) a[i][2][j] = b[i][2][j] = 0.1f + fabsf(b[i][2][j]) + b[i][4][j] * b[i][4][j];
    for (int k = 0; k < ARRAYS; k++) table[6 * i + k] = number_of(a[i][k]);
    if (momentum == 0) table[6 * i + 3] = 0;
    if (!centered) table[6 * i + 4] = 0;
    table[6 * i + ARRAYS] = sizes[i];
  }
  for (int step = 1; step <= 2; step++) {
    th_rmsprop(table, LISTS, lr, alpha, eps, decay, momentum);
    for (int i = 0; i < LISTS; i++) {
      float *p = b[i][0], *squares = b[i][2], *buffer = b[i][3], *mean = b[i][4];
      for (int j = 0; j < sizes[i]; j++) {
        const double g = (double)b[i][1][j] + decay * (double)p[j];
        squares[j] = (float)(alpha * (double)squares[j] + (1 - alpha) * g * g);
        if (centered) mean[j] = (float)(alpha * (double)mean[j] + (1 - alpha) * g);
        const double m = centered ? (double)mean[j] : 0;
        double moved = g / (sqrt(fmax((double)squares[j] - m * m, 0)) + eps);
        if (momentum != 0) moved = (double)(buffer[j] = (float)(momentum * (double)buffer[j] + moved));
        p[j] = (float)((double)p[j] - lr * moved);
      }
      for (int k = 0; k < ARRAYS; k++)
        check_close(a[i][k], b[i][k], sizes[i], 2e-6, "RMSprop array %d of %d, momentum %g, centered %d, step %d", k, i,
                    momentum, centered, step);
    }
  }
  for (int i = 0; i < LISTS; i++)
    for (int k = 0; k < ARRAYS; k++) free(a[i][k]), free(b[i][k]);
}

TEST_SUITE(rmsprop) {
  check_rmsprop(0, 0);
  check_rmsprop(0.9, 0);
  check_rmsprop(0, 1);
  check_rmsprop(0.9, 1);
  /* A variance that rounding would make negative. */
  float p = 1, g = 0.3f, mean = 0.3f, squares = mean * mean * (1 - 1e-6f);
  const double row[] = {number_of(&p), number_of(&g), number_of(&squares), 0, number_of(&mean), 1};
  check(th_rmsprop(row, 1, 0.01, 1, 0.5, 0, 0) == TH_STATUS_OK && fabs((double)p - (1 - 0.01 * 0.3 / 0.5)) < 1e-6,
        "a negative variance counts as zero: %g", (double)p);
}

/** Subnormal numbers are taken as zero, within the kernels only. The emulated device, like a real one, keeps them. */
TEST_SUITE(subnormal_parameters) {
  float *p = test_floats(2), *g = test_floats(2), *m = test_floats(2), *v = test_floats(2);
  for (int i = 0; i < 2; i++) p[i] = i ? 1 : 1e-40f, g[i] = m[i] = v[i] = 0;
  const double adam[] = {number_of(p), number_of(g), number_of(m), number_of(v), 2};
  th_adam(adam, 1, 0.1, 0.9, 0.999, 1e-8, 1e-3, 0, 0.1, 0.001);
  check(test_settled(TH_STATUS_OK) == TH_STATUS_OK && fabsf(p[0]) < 1e-35f && p[1] < 1, "Adam: %g and %g", (double)p[0],
        (double)p[1]);
#ifndef TH_EMULATED
  check(p[0] == 0, "a subnormal parameter becomes zero, not %g", (double)p[0]);
#endif
  volatile float small = 1e-30f;
  check(small * 1e-10f > 0, "the caller's arithmetic keeps subnormal numbers");
  free(p), free(g), free(m), free(v);
}

TEST_SUITE(clip_grad_norm) {
  for (int clipped = 0; clipped < 2; clipped++) {
    double table[LISTS * 2], squares = 0;
    float *g[LISTS], *expected[LISTS], norm;
    for (int i = 0; i < LISTS; i++) {
      g[i] = test_random(sizes[i], 2), expected[i] = test_random(sizes[i], 2);
      for (int j = 0; j < sizes[i]; j++) squares += (double)g[i][j] * (double)g[i][j];
      table[2 * i] = number_of(g[i]), table[2 * i + 1] = sizes[i];
    }
    const double exact = sqrt(squares), max_norm = clipped ? 1.5 : 1000, factor = fmin(1, max_norm / (exact + 1e-6));
    check(th_clip_grad_norm(&norm, table, LISTS, max_norm) == TH_STATUS_OK, "status");
    check(fabs((double)norm - exact) < 2e-7 * exact, "norm %.9g, not %.9g", (double)norm, exact);
    for (int i = 0; i < LISTS; i++) {
      for (int j = 0; j < sizes[i]; j++) expected[i][j] = (float)((double)expected[i][j] * factor);
      check_close(g[i], expected[i], sizes[i], clipped ? 1e-7 : 0, "gradient %d", i);
      free(g[i]), free(expected[i]);
    }
  }
  float norm = NAN, unclean[] = {NAN, 200};
  const double unclean_row[] = {number_of(unclean), 2};
  th_clip_grad_norm(&norm, unclean_row, 1, 1);
  check(isnan(norm) && isnan(unclean[0]) && isnan(unclean[1]), "gradients with a norm that is NaN become NaN");
  th_clip_grad_norm(&norm, NULL, 0, 1);
  check(norm == 0, "the norm of nothing");
}
