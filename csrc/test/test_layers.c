/* th_layers against its own layers one by one, which test_conv.c checks. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { LAYERS = 7 };

/* {h, w, c, f, kh, kw, stride, padding}; the third adds what the second was given, the fifth and the last are linear, and the
   one between adds what it is given. From the fourth on an image has one pixel. */
static const int32_t sizes[LAYERS][8] = {
    {9, 8, 3, 16, 5, 5, 2, 2},  {5, 4, 16, 16, 3, 3, 1, 1}, {5, 4, 16, 16, 3, 3, 1, 1}, {5, 4, 16, 40, 5, 4, 1, 0},
    {1, 1, 40, 33, 1, 1, 1, 0}, {1, 1, 33, 33, 3, 3, 1, 1}, {1, 1, 33, 10, 1, 1, 1, 0}};
/* Floats of an image after each layer; the work space holds the first three, the fourth where the second was. */
static const ptrdiff_t floats[LAYERS] = {320, 320, 320, 40, 33, 33, 10},
                       place[LAYERS] = {0, 320, 640, 320, 360, 400, 0};
/* The layer whose images are added to each. */
static const int added[LAYERS] = {-1, -1, 0, -1, -1, 4, -1};
enum { WORK = 960 };

/** Calls in a row. The last of them, unlike the first, are a team's where the images are few. */
enum { CALLS = 16 };

static void check_same(const float *actual, const float *expected, ptrdiff_t n, const char *name, int images) {
  check(!memcmp(actual, expected, (size_t)n * sizeof *actual), "%s, %d images: the same bits", name, images);
}

static void test_layers(int32_t n) {
  double table[LAYERS * TH_LAYER_ENTRIES];
  float *weight[LAYERS], *bias[LAYERS], *step[LAYERS], *var = test_floats(40);
  float *x = test_random((ptrdiff_t)n * 216, 1);
  for (int i = 0; i < 40; i++) var[i] = 0.5f + 0.1f * (float)i;
  for (int i = 0; i < LAYERS; i++) {
    const int32_t *s = sizes[i], geometry[] = {n, s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]};
    double *row = table + i * TH_LAYER_ENTRIES;
    weight[i] = test_random((ptrdiff_t)s[4] * s[5] * s[2] * s[3], (uint64_t)i + 2);
    bias[i] = test_random(s[3], (uint64_t)i + 10);
    test_layer(row, geometry, weight[i], i % 2 ? NULL : bias[i]);
    if (i < 4 || i == 5) {
      row[TH_LAYER_GAMMA] = row[TH_LAYER_BETA] = row[TH_LAYER_MEAN] = test_address(bias[i]);
      row[TH_LAYER_VAR] = test_address(var), row[TH_LAYER_EPS] = 1e-5;
    }
    row[TH_LAYER_RELU] = i < LAYERS - 1;
    row[TH_LAYER_RELU_AFTER] = i == 5;
    /* alone: from the step before to this one */
    double alone[TH_LAYER_ENTRIES];
    for (int k = 0; k < TH_LAYER_ENTRIES; k++) alone[k] = row[k];
    const int from = added[i] < 0 ? 0 : added[i];
    if (added[i] >= 0) alone[TH_LAYER_ADD] = 0;
    step[i] = test_nan(n * floats[i]);
    const int32_t status = th_layers(step[i], i ? step[i - 1] : x, step[from], alone, 1, n, (double)floats[from]);
    check(status == TH_STATUS_OK, "layer %d status", i);
    /* in a row */
    if (i > 0) row[TH_LAYER_IN] = (double)place[i - 1];
    if (added[i] >= 0) row[TH_LAYER_ADD] = (double)place[added[i]];
    if (i < LAYERS - 1) row[TH_LAYER_OUT] = (double)place[i];
  }
  float *y = test_nan(n * floats[LAYERS - 1]), *work = test_nan((ptrdiff_t)n * WORK);
  check(th_layers(y, x, work, table, LAYERS, n, WORK) == TH_STATUS_OK, "layers status, %d images", n);
  check_close(y, step[LAYERS - 1], n * floats[LAYERS - 1], 2e-4, "layers, %d images", n);
  float *again = test_nan(n * floats[LAYERS - 1]);
  for (int i = 0; i < CALLS; i++) {
    th_layers(again, x, work, table, LAYERS, n, WORK);
    check_same(again, y, n * floats[LAYERS - 1], "layers again", n);
  }
  if (n > 1) { /* a single image, whose pixels meet the weights in another way */
    float *one = test_nan(floats[LAYERS - 1]);
    th_layers(one, x, work, table, LAYERS, 1, WORK);
    check_close(one, y, floats[LAYERS - 1], 2e-4, "the first of %d images", n);
    free(one);
  }
  for (int i = 0; i < LAYERS; i++) free(weight[i]), free(bias[i]), free(step[i]);
  free(var), free(x), free(y), free(work), free(again);
}

/* Each is computed in one way by a team of any number of threads, where a part of it alone would be computed in another: long sums
   that meet rows of weights as they are, and two or three columns. The windows are large enough for a team in a first call; none is
   of 3 × 3 pixels, as whether Winograd's filtering pays does depend on the threads. The products are not: a large one is cut
   along its sums, by the number of threads. */
static const int32_t windows[][8] = {{3, 1, 145, 528, 5, 5, 1, 2},
                                     {9, 1, 433, 64, 5, 5, 1, 2},
                                     {18, 1, 433, 32, 5, 5, 1, 2},
                                     {9, 9, 37, 88, 5, 5, 1, 2}};
static const int32_t products[][8] = {{1, 1, 5000, 64, 1, 1, 1, 0},
                                      {1, 1, 10000, 32, 1, 1, 1, 0},
                                      {3, 1, 600, 192, 1, 1, 1, 0},
                                      {5, 4, 500, 34, 1, 1, 1, 0},
                                      {13, 1, 8000, 3, 1, 1, 1, 0}};

/** Four layers, each of which makes the same output again, on all threads and on one. Images are too few for each thread to take some
    of them. */
static void test_team(const int32_t *s, int32_t n) {
  enum { LAYERS_AGAIN = 4 };
  const int32_t geometry[] = {n, s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]}, threads = th_get_threads();
  const ptrdiff_t size = (ptrdiff_t)n * s[0] * s[1] * s[3];
  float *x = test_random((ptrdiff_t)n * s[0] * s[1] * s[2], 1), *bias = test_random(s[3], 3);
  float *weight = test_random((ptrdiff_t)s[4] * s[5] * s[2] * s[3], 2), *team = test_nan(size), *alone = test_nan(size);
  double table[LAYERS_AGAIN * TH_LAYER_ENTRIES];
  for (int i = 0; i < LAYERS_AGAIN; i++) test_layer(table + (ptrdiff_t)i * TH_LAYER_ENTRIES, geometry, weight, bias);
  th_set_threads(1);
  check(th_layers(alone, x, NULL, table, LAYERS_AGAIN, n, 0) == TH_STATUS_OK, "a layer of %d channels", s[3]);
  th_set_threads(threads);
  for (int i = 0; i < CALLS; i++) {
    th_layers(team, x, NULL, table, LAYERS_AGAIN, n, 0);
    check_same(team, alone, size, "by a team", n);
  }
  free(x), free(bias), free(weight), free(team), free(alone);
}

TEST_SUITE(layers_team) {
  if (th_get_threads() == 1) return; /* nor has a CUDA device any */
  for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) test_team(windows[i], 1), test_team(windows[i], 5);
  for (size_t i = 0; i < sizeof products / sizeof *products; i++) test_team(products[i], 1);
}

/* So many that threads share them, unevenly too, and so few that they do not. */
TEST_SUITE(layers) {
  static const int32_t counts[] = {0, 1, 2, 3, 5, 7, 8, 29, 64};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) test_layers(counts[i]);
}
