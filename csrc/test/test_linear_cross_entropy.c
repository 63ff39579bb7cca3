/* The linear layer with its cross-entropy against double precision. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  int rows, features, classes;
  int transposed, biased;
  float scale; /* of the logits */
} problem;

/** Loss, gradients (times the number of rows, so that they are near 1), and rows whose first largest logit is the label's. */
typedef struct {
  double loss;
  float *dx, *dweight, *dbias;
  int correct;
} solution;

/** Element of the weight for a feature and a class, in rows that have room for `extra` more. */
static ptrdiff_t at(const problem *p, ptrdiff_t feature, ptrdiff_t class, int extra) {
  return p->transposed ? class * (p->features + extra) + feature : feature * (p->classes + extra) + class;
}

static double *doubles(ptrdiff_t n) { return calloc((size_t)(n > 0 ? n : 1), sizeof(double)); }

static void reference(const problem *p, const float *x, const float *w, const float *bias, const int32_t *labels,
                      int extra, solution *s) {
  const ptrdiff_t F = p->features, C = p->classes;
  double *logits = doubles(C), *dweight = doubles(F * C), *dbias = doubles(C);
  s->loss = s->correct = 0;
  for (ptrdiff_t r = 0; r < p->rows; r++) {
    double max = -INFINITY, sum = 0;
    ptrdiff_t best = 0;
    for (ptrdiff_t c = 0; c < C; c++) {
      logits[c] = bias ? (double)bias[c] : 0;
      for (ptrdiff_t f = 0; f < F; f++) logits[c] += (double)x[r * F + f] * (double)w[at(p, f, c, extra)];
      if (logits[c] > max) max = logits[c], best = c;
    }
    for (ptrdiff_t c = 0; c < C; c++) sum += exp(logits[c] - max);
    s->loss += (log(sum) + max - logits[labels[r]]) / p->rows;
    s->correct += best == labels[r];
    for (ptrdiff_t f = 0; f < F; f++) {
      double g = 0;
      for (ptrdiff_t c = 0; c < C; c++) {
        const double d = (exp(logits[c] - max) / sum - (c == labels[r])) / p->rows;
        g += d * (double)w[at(p, f, c, extra)];
        dweight[f * C + c] += d * (double)x[r * F + f];
      }
      s->dx[r * F + f] = (float)(p->rows * g);
    }
    for (ptrdiff_t c = 0; c < C; c++) dbias[c] += (exp(logits[c] - max) / sum - (c == labels[r])) / p->rows;
  }
  for (ptrdiff_t i = 0; i < F * C; i++) s->dweight[i] = (float)(p->rows * dweight[i]);
  for (ptrdiff_t c = 0; c < C; c++) s->dbias[c] = (float)(p->rows * dbias[c]);
  free(logits), free(dweight), free(dbias);
}

static void compare(const char *what, float *actual, const float *expected, ptrdiff_t n, const problem *p) {
  for (ptrdiff_t i = 0; i < n; i++) actual[i] *= (float)p->rows;
  check_close(actual, expected, n, 1e-5 * (double)p->scale, "%s of %d x %d to %d, transposed %d, biased %d, scale %g",
              what, p->rows, p->features, p->classes, p->transposed, p->biased, (double)p->scale);
}

static void check_problem(problem p) {
  const int extra = p.transposed ? 3 : 5;
  const ptrdiff_t R = p.rows, F = p.features, C = p.classes, weights = at(&p, F - 1, C - 1, extra) + 1;
  float *x = test_random(R * F, 1), *w = test_random(weights, 2), *bias = test_random(C, 3), loss = NAN, correct = NAN;
  solution s = {.dx = test_nan(R * F), .dweight = test_nan(F * C), .dbias = test_nan(C)};
  float *dx = test_nan(R * F), *dweight = test_nan(F * C), *dbias = test_nan(C);
  int32_t *labels = malloc(sizeof *labels * (size_t)R);
  for (ptrdiff_t r = 0; r < R; r++) labels[r] = (int32_t)(r * 7919 % C);
  for (ptrdiff_t i = 0; i < R * F; i++) x[i] *= p.scale;
  const float *b = p.biased ? bias : NULL;
  const int32_t row = (int32_t)(p.transposed ? F : C) + extra;
  reference(&p, x, w, b, labels, extra, &s);

  check(th_linear_cross_entropy(&loss, &correct, dx, dweight, dbias, x, w, b, labels, p.rows, p.features, p.classes,
                                row, p.transposed) == TH_STATUS_OK,
        "status");
  check(fabs((double)loss - s.loss) <= 2e-6 * (1 + fabs(s.loss)), "loss of %d x %d to %d: %.9g, not %.9g", p.rows,
        p.features, p.classes, (double)loss, s.loss);
  check((int)correct == s.correct, "%g correct, not %d", (double)correct, s.correct);
  compare("dx", dx, s.dx, R * F, &p);
  compare("dweight", dweight, s.dweight, F * C, &p);
  compare("dbias", dbias, s.dbias, C, &p);

  float alone = NAN;
  check(th_linear_cross_entropy(&alone, &correct, NULL, NULL, NULL, x, w, b, labels, p.rows, p.features, p.classes, row,
                                p.transposed) == TH_STATUS_OK,
        "status");
  check(alone == loss, "the loss without gradients: %.9g, not %.9g", (double)alone, (double)loss);
  float *one = test_nan(R * F);
  th_linear_cross_entropy(&alone, &correct, one, NULL, NULL, x, w, b, labels, p.rows, p.features, p.classes, row,
                          p.transposed);
  compare("dx alone", one, s.dx, R * F, &p);
  labels[R - 1] = p.classes;
  check(test_settled(th_linear_cross_entropy(&alone, &correct, dx, dweight, dbias, x, w, b, labels, p.rows, p.features,
                                             p.classes, row, p.transposed)) == TH_STATUS_INDEX,
        "a label beyond the classes");
  free(x), free(w), free(bias), free(s.dx), free(s.dweight), free(s.dbias), free(dx), free(dweight), free(dbias);
  free(one), free(labels);
}

TEST_SUITE(linear_cross_entropy) {
  for (int transposed = 0; transposed < 2; transposed++) {
    check_problem((problem){1, 1, 1, transposed, 1, 1});
    check_problem((problem){3, 5, 2, transposed, 0, 1});
    check_problem((problem){7, 4, 31, transposed, 1, 3});
    check_problem((problem){29, 33, 64, transposed, 1, 1});
    check_problem((problem){15, 40, 1000, transposed, 1, 5});
    check_problem((problem){5, 800, 77, transposed, 0, 1});   /* several runs of features */
    check_problem((problem){401, 9, 100, transposed, 1, 1});  /* several blocks of rows */
    check_problem((problem){9, 512, 50, transposed, 1, 100}); /* rows that would collide; probabilities of 0 and 1 */
  }
}

/** Equal logits: the first class is the largest, as for arg max. */
TEST_SUITE(linear_cross_entropy_ties) {
  float x[3] = {1, 1, 1}, w[40] = {0}, loss, correct;
  const int32_t labels[3] = {0, 1, 39};
  th_linear_cross_entropy(&loss, &correct, NULL, NULL, NULL, x, w, NULL, labels, 3, 1, 40, 40, 0);
  check(test_settled(TH_STATUS_OK) == TH_STATUS_OK && correct == 1, "%g are right, not 1", (double)correct);
  check(fabs((double)loss - log(40)) < 1e-5, "the loss of equal logits is log K, not %g", (double)loss);
  x[1] = NAN;
  th_linear_cross_entropy(&loss, &correct, NULL, NULL, NULL, x, w, NULL, labels, 3, 1, 40, 40, 0);
  check(test_settled(TH_STATUS_OK) == TH_STATUS_OK && isnan(loss), "NaN propagates");
}
