/* th_conv and its gradients against loops over every pixel and tap, in double precision. */
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  int n, h, w, c, f, kh, kw, stride, padding;
} geometry;

static void naive(const geometry *g, const float *x, const float *weight, const float *bias, const float *dy, double *y,
                  double *dx, double *dweight, double *dbias) {
  const int oh = (g->h + 2 * g->padding - g->kh) / g->stride + 1, ow = (g->w + 2 * g->padding - g->kw) / g->stride + 1;
  for (ptrdiff_t o = 0; o < (ptrdiff_t)g->n * oh * ow; o++) {
    const int oy = (int)(o / ow % oh), ox = (int)(o % ow);
    for (int f = 0; f < g->f; f++) {
      y[o * g->f + f] = bias[f];
      dbias[f] += dy[o * g->f + f];
    }
    for (int ky = 0; ky < g->kh; ky++)
      for (int kx = 0; kx < g->kw; kx++) {
        const int iy = oy * g->stride - g->padding + ky, ix = ox * g->stride - g->padding + kx;
        if (iy < 0 || ix < 0 || iy >= g->h || ix >= g->w) continue;
        for (int c = 0; c < g->c; c++) {
          const ptrdiff_t i = ((o / ow / oh * g->h + iy) * g->w + ix) * g->c + c,
                          j = ((ptrdiff_t)(ky * g->kw + kx) * g->c + c) * g->f;
          for (int f = 0; f < g->f; f++) {
            y[o * g->f + f] += (double)x[i] * weight[j + f];
            dx[i] += (double)dy[o * g->f + f] * weight[j + f];
            dweight[j + f] += (double)x[i] * dy[o * g->f + f];
          }
        }
      }
  }
}

static float *to_float(double *in, ptrdiff_t n) {
  float *out = test_floats(n);
  for (ptrdiff_t i = 0; i < n; i++) out[i] = (float)in[i];
  free(in);
  return out;
}

static double *zeros(ptrdiff_t n) { return calloc((size_t)(n > 0 ? n : 1), sizeof(double)); }

static void test_conv(geometry g) {
  const int oh = (g.h + 2 * g.padding - g.kh) / g.stride + 1, ow = (g.w + 2 * g.padding - g.kw) / g.stride + 1;
  const ptrdiff_t nx = (ptrdiff_t)g.n * g.h * g.w * g.c, nw = (ptrdiff_t)g.kh * g.kw * g.c * g.f,
                  ny = (ptrdiff_t)g.n * oh * ow * g.f;
  float *x = test_random(nx, 1), *weight = test_random(nw, 2), *bias = test_random(g.f, 3), *dy = test_random(ny, 4);
  double *y64 = zeros(ny), *dx64 = zeros(nx), *dw64 = zeros(nw), *db64 = zeros(g.f);
  naive(&g, x, weight, bias, dy, y64, dx64, dw64, db64);
  float *want_y = to_float(y64, ny), *want_dx = to_float(dx64, nx), *want_dw = to_float(dw64, nw),
        *want_db = to_float(db64, g.f);
  float *y = test_nan(ny), *dx = test_nan(nx), *dw = test_nan(nw), *db = test_nan(g.f);

  const int32_t shape[] = {g.n, g.h, g.w, g.c, g.f, g.kh, g.kw, g.stride, g.padding};
  char name[128];
  snprintf(name, sizeof name, "x (%d, %d, %d, %d), weight (%d, %d, %d, %d), stride %d, padding %d", g.n, g.h, g.w, g.c,
           g.kh, g.kw, g.c, g.f, g.stride, g.padding);
  const double taps = (double)g.kh * g.kw;
  check(th_conv(y, x, weight, bias, shape) == TH_STATUS_OK, "conv status, %s", name);
  check_close(y, want_y, ny, 2e-6 * (1 + sqrt(taps * g.c)), "conv, %s", name);
  check(th_conv_backward_data(dx, dy, weight, shape) == TH_STATUS_OK, "data gradient status, %s", name);
  check_close(dx, want_dx, nx, 2e-6 * (1 + sqrt(taps * g.f)), "data gradient, %s", name);
  check(th_conv_backward_weight(dw, db, x, dy, shape) == TH_STATUS_OK, "weight gradient status, %s", name);
  check_close(dw, want_dw, nw, 2e-6 * (1 + sqrt((double)g.n * oh * ow)), "weight gradient, %s", name);
  check_close(db, want_db, g.f, 2e-6 * (1 + sqrt((double)g.n * oh * ow)), "bias gradient, %s", name);

  /* Statistics of any kind will do, with a mean that is far from the images'. */
  float *gamma = test_random(g.f, 5), *beta = test_random(g.f, 6), *mean = test_random(g.f, 7), *var = test_floats(g.f);
  for (int f = 0; f < g.f; f++) mean[f] += 3, var[f] = 0.5f + fabsf(gamma[f]);
  float *added = test_random(ny, 8);
  static const int variants[] = {0, 1 | 2, 1 | 4, 2 | 4}; /* ReLU, an addition, ReLU after it */
  for (int v = 0; v < 4; v++) {
    if (g.h <= 4 && v != (g.h + g.w + g.kh) % 4) continue; /* there are so many of them */
    const int variant = variants[v], relu = variant & 1, adds = variant >> 1 & 1, relu_after = variant >> 2;
    double *norm64 = zeros(ny);
    for (ptrdiff_t i = 0; i < ny; i++) {
      const ptrdiff_t f = i % g.f;
      norm64[i] = ((double)want_y[i] - mean[f]) / sqrt(var[f] + 1e-3) * gamma[f] + beta[f];
      if (relu && norm64[i] < 0) norm64[i] = 0;
      if (adds) norm64[i] += added[i];
      if (relu_after && norm64[i] < 0) norm64[i] = 0;
    }
    double row[TH_LAYER_ENTRIES];
    test_layer(row, shape, weight, bias);
    row[TH_LAYER_GAMMA] = test_address(gamma), row[TH_LAYER_BETA] = test_address(beta);
    row[TH_LAYER_MEAN] = test_address(mean), row[TH_LAYER_VAR] = test_address(var);
    row[TH_LAYER_EPS] = 1e-3, row[TH_LAYER_RELU] = relu, row[TH_LAYER_RELU_AFTER] = relu_after;
    if (adds) row[TH_LAYER_ADD] = 0;
    float *want = to_float(norm64, ny), *found = test_nan(ny);
    check(th_layers(found, x, added, row, 1, g.n, (double)oh * ow * g.f) == TH_STATUS_OK, "layer status, %s", name);
    check_close(found, want, ny, 8e-6 * (1 + sqrt(taps * g.c)), "layer, variant %d, %s", variant, name);
    free(want), free(found);
  }
  free(added);

  /* Again, without biases: the same weight gradient to the last bit. */
  float *again = test_nan(nw);
  th_conv(y, x, weight, NULL, shape);
  for (ptrdiff_t i = 0; i < ny; i++) want_y[i] -= bias[i % g.f];
  check_close(y, want_y, ny, 4e-6 * (1 + sqrt(taps * g.c)), "conv without bias, %s", name);
  th_conv_backward_weight(again, NULL, x, dy, shape);
  check_close(again, dw, nw, 0, "weight gradient again, %s", name);
  free(x), free(weight), free(bias), free(dy), free(y), free(dx), free(dw), free(db), free(again);
  free(gamma), free(beta), free(mean), free(var), free(want_y), free(want_dx), free(want_dw), free(want_db);
}

/* The layers of ResNet-9, and shapes that reach each path of the engine. */
TEST_SUITE(conv) {
  static const geometry shapes[] = {
      {4, 32, 32, 3, 16, 7, 7, 4, 3},   {30, 8, 8, 16, 32, 3, 3, 2, 1},    {30, 4, 4, 32, 32, 3, 3, 1, 1},
      {30, 4, 4, 32, 64, 3, 3, 2, 1},   {33, 2, 2, 64, 128, 3, 3, 2, 1},   {40, 1, 1, 128, 128, 3, 3, 1, 1},
      {2, 13, 11, 64, 64, 3, 3, 1, 1},  {2, 15, 14, 5, 7, 3, 3, 2, 1},     {2, 9, 10, 20, 40, 1, 1, 1, 0},
      {2, 9, 10, 20, 40, 1, 1, 2, 0},   {2, 17, 12, 3, 64, 7, 7, 2, 3},    {1, 7, 9, 130, 40, 3, 3, 1, 1},
      {2, 11, 11, 8, 24, 5, 5, 3, 2},   {30, 2, 3, 16, 16, 3, 3, 1, 1},    {2, 14, 14, 100, 50, 3, 3, 1, 1},
      {2, 28, 28, 3, 64, 7, 7, 2, 3},   {1, 5, 5, 500, 20, 3, 3, 1, 1},    {29, 3, 3, 450, 20, 3, 3, 1, 1},
      {1, 64, 64, 16, 16, 3, 3, 1, 1},  {1, 6, 700, 2, 5, 3, 3, 1, 1},     {1, 3, 600, 1, 1, 1, 5, 1, 0},
      {31, 8, 16, 8, 8, 3, 3, 1, 1},    {3, 6, 6, 1024, 8, 3, 3, 1, 1},    {1, 1, 1, 1, 1, 1, 1, 1, 0},
      {0, 4, 4, 3, 5, 3, 3, 1, 1},      {0, 4, 4, 3, 5, 1, 1, 1, 0},       {1, 1, 1, 1, 1, 3, 3, 1, 3},
      {20, 1, 1, 4, 6, 3, 3, 1, 4},     {2, 3, 3, 2, 3, 5, 5, 1, 1},       {2, 2, 7, 2, 3, 6, 2, 1, 2},
      {2, 4, 4, 3, 4, 2, 2, 5, 0},      {2, 9, 9, 2, 3, 2, 2, 4, 1},       {60, 9, 9, 2, 20, 2, 2, 4, 1},
      {1, 40, 40, 17, 33, 3, 3, 1, 0},  {2, 5, 5, 3, 2, 1, 1, 1, 2},       {7, 5, 5, 3, 2, 1, 1, 3, 2},
      {3, 90, 95, 3, 70, 7, 7, 2, 3},   {1, 60, 33, 8, 20, 3, 3, 1, 1},    {1, 3, 3, 130, 520, 3, 3, 1, 0},
      {1, 3, 3, 130, 20, 3, 3, 2, 0},   {1, 1, 1, 40, 21, 3, 3, 1, 1},     {1, 4, 1, 24, 48, 3, 3, 1, 1},
      {110, 6, 5, 32, 48, 3, 3, 1, 1},  {3, 19, 18, 160, 36, 3, 3, 1, 0},  {8, 15, 14, 144, 20, 3, 3, 1, 2},
      {1, 30, 30, 16, 16, 3, 3, 1, 1},  {1, 33, 4, 64, 32, 3, 3, 1, 3},    {20, 16, 16, 16, 32, 4, 4, 2, 1},
      {3, 33, 31, 32, 24, 5, 5, 2, 2},  {6, 20, 22, 16, 48, 6, 6, 3, 2},   {40, 9, 9, 32, 32, 2, 2, 1, 0},
      {10, 21, 19, 16, 33, 4, 3, 2, 3}, {5, 30, 30, 32, 16, 3, 3, 2, 1},   {2, 12, 12, 20, 24, 7, 5, 3, 2},
      {6, 28, 28, 16, 20, 7, 8, 4, 1},  {1, 32, 30, 160, 20, 4, 4, 2, 1},  {60, 32, 32, 3, 16, 7, 7, 4, 3},
      {2, 84, 84, 4, 32, 8, 8, 4, 0},   {1, 227, 99, 3, 21, 11, 11, 4, 2}, {4, 21, 35, 5, 64, 5, 6, 2, 3},
      {3, 96, 50, 3, 70, 6, 6, 3, 0},   {3, 14, 200, 2, 16, 9, 30, 3, 4},  {1, 33, 33, 6, 33, 7, 7, 3, 9},
      {1, 9, 10, 230, 100, 3, 3, 1, 1},
  };
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) test_conv(shapes[i]);
}

static double rms(const float *x, const float *minus, ptrdiff_t n) {
  double sum = 0;
  for (ptrdiff_t i = 0; i < n; i++) {
    const double d = (double)x[i] - (minus ? (double)minus[i] : 0);
    sum += d * d;
  }
  return sqrt(sum / (double)n);
}

static void test_rounding(geometry g) {
  const int32_t shape[] = {g.n, g.h, g.w, g.c, g.f, g.kh, g.kw, g.stride, g.padding};
  const ptrdiff_t oh = (g.h + 2 * g.padding - g.kh) / g.stride + 1, ow = (g.w + 2 * g.padding - g.kw) / g.stride + 1;
  const ptrdiff_t nx = (ptrdiff_t)g.n * g.h * g.w * g.c, ny = g.n * oh * ow * g.f,
                  nw = (ptrdiff_t)g.kh * g.kw * g.c * g.f;
  float *x = test_random(nx, 1), *weight = test_random(nw, 2), *bias = test_random(g.f, 3), *dy = test_random(ny, 4);
  double *y64 = zeros(ny), *dx64 = zeros(nx), *dw64 = zeros(nw), *db64 = zeros(g.f);
  naive(&g, x, weight, bias, dy, y64, dx64, dw64, db64);
  float *want_y = to_float(y64, ny), *want_dx = to_float(dx64, nx), *want_dw = to_float(dw64, nw);
  float *y = test_nan(ny), *dx = test_nan(nx), *dw = test_nan(nw);
  th_conv(y, x, weight, bias, shape);
  th_conv_backward_data(dx, dy, weight, shape);
  th_conv_backward_weight(dw, NULL, x, dy, shape);
  const double of_y = rms(y, want_y, ny) / rms(want_y, NULL, ny), of_dx = rms(dx, want_dx, nx) / rms(want_dx, NULL, nx);
  const double of_dw = rms(dw, want_dw, nw) / rms(want_dw, NULL, nw);
  check(of_y < 1.5e-6, "rounding of conv: %.2g", of_y);
  check(of_dx < 1.5e-6, "of its data gradient: %.2g", of_dx);
  check(of_dw < 1.5e-6, "of its weight gradient: %.2g", of_dw);
  free(x), free(weight), free(bias), free(dy), free(db64);
  free(y), free(dx), free(dw), free(want_y), free(want_dx), free(want_dw);
}

/* Winograd's minimal filtering rounds more than a sum of products does: by 3e-7 of the result there, 1e-6 here. */
TEST_SUITE(conv_rounding) {
  test_rounding((geometry){3, 17, 16, 128, 64, 3, 3, 1, 1});
  test_rounding((geometry){1, 33, 32, 64, 64, 4, 4, 2, 1});
  test_rounding((geometry){30, 32, 32, 3, 16, 7, 7, 4, 3});
}

/** Columns first to first + count of in (rows, columns). */
static float *slice(const float *in, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t first, ptrdiff_t count) {
  float *out = test_floats(rows * count);
  for (ptrdiff_t i = 0; i < rows; i++) memcpy(out + i * count, in + i * columns + first, sizeof(float) * (size_t)count);
  return out;
}

/* With so many channels, what Winograd's minimal filtering would keep between blocks of tiles is too large and made again. The
   results are those of half as many channels, for which it is kept. */
TEST_SUITE(conv_many_channels) {
  enum { SIZE = 40, PIXELS = SIZE * SIZE, C = 384, F = 320, TAPS = 9 };
  float *x = test_random(PIXELS * C, 1), *weight = test_random(TAPS * C * F, 2), *dy = test_random(PIXELS * F, 3);
  float *y = test_nan(PIXELS * F), *dx = test_nan(PIXELS * C), *dw = test_nan(TAPS * C * F), *db = test_nan(F);
  const int32_t shape[] = {1, SIZE, SIZE, C, F, 3, 3, 1, 1};
  th_conv(y, x, weight, NULL, shape);
  th_conv_backward_data(dx, dy, weight, shape);
  th_conv_backward_weight(dw, db, x, dy, shape);
  for (int half = 0; half < 2; half++) {
    enum { HC = C / 2, HF = F / 2 };
    const int32_t fewer_f[] = {1, SIZE, SIZE, C, HF, 3, 3, 1, 1}, fewer_c[] = {1, SIZE, SIZE, HC, F, 3, 3, 1, 1};
    float *weight_f = slice(weight, TAPS * C, F, half * HF, HF), *dy_f = slice(dy, PIXELS, F, half * HF, HF);
    float *weight_c = slice(weight, TAPS, C * F, half * HC * F, HC * F);
    float *want = slice(y, PIXELS, F, half * HF, HF), *found = test_nan(PIXELS * HF);
    th_conv(found, x, weight_f, NULL, fewer_f);
    check_close(found, want, PIXELS * HF, 1e-4, "many channels, half %d", half);
    free(want), free(found);
    want = slice(dx, PIXELS, C, half * HC, HC), found = test_nan(PIXELS * HC);
    th_conv_backward_data(found, dy, weight_c, fewer_c);
    check_close(found, want, PIXELS * HC, 1e-4, "data gradient of many channels, half %d", half);
    free(want), free(found);
    float found_db[HF];
    want = slice(dw, TAPS * C, F, half * HF, HF), found = test_nan(TAPS * C * HF);
    th_conv_backward_weight(found, found_db, x, dy_f, fewer_f);
    check_close(found, want, TAPS * C * HF, 1e-4, "weight gradient of many channels, half %d", half);
    check_close(found_db, db + half * HF, HF, 1e-4, "bias gradient of many channels, half %d", half);
    free(want), free(found), free(weight_f), free(weight_c), free(dy_f);
  }
  free(x), free(weight), free(dy), free(y), free(dx), free(dw), free(db);
}

/* Every combination of small numbers that has an output: windows larger than the image, padding beyond the window, gaps
   between windows, images of one row. */
TEST_SUITE(conv_small) {
  static const int channels[][2] = {{1, 1}, {3, 2}, {5, 9}};
  for (int h = 1; h <= 4; h++)
    for (int w = 1; w <= 5; w += 2)
      for (int kh = 1; kh <= 4; kh++)
        for (int kw = 1; kw <= 4; kw++)
          for (int stride = 1; stride <= 3; stride++)
            for (int padding = 0; padding <= 3; padding++) {
              if (h + 2 * padding < kh || w + 2 * padding < kw) continue;
              const int pick = (h + w + kh + kw + stride + padding) % 3;
              test_conv((geometry){(h + kw + stride) % 2 ? 1 : 15, h, w, channels[pick][0], channels[pick][1], kh, kw,
                                   stride, padding});
            }
}

/* Drawn at random, and what has gone wrong: an output of one row and more than 256 columns, images whose copies overlapped, no
   input channels, a stride far beyond the image. */
TEST_SUITE(conv_any) {
  static const geometry shapes[] = {
      {1, 1, 300, 1, 1, 1, 3, 1, 0},   {2, 5, 300, 6, 33, 3, 3, 1, 1},  {1, 1, 257, 16, 16, 1, 1, 1, 0},
      {1, 4, 4, 0, 2, 3, 3, 1, 1},     {16, 10, 10, 17, 8, 8, 8, 3, 4}, {3, 17, 17, 3, 20, 8, 8, 4, 2},
      {1, 5, 5, 32, 2, 3, 3, 9999, 0},
  };
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) test_conv(shapes[i]);
  uint64_t state = 1;
  for (int drawn = 0; drawn < 60 * test_draws;) {
    geometry g = {.h = test_pick(&state, 1, 30), .w = test_pick(&state, 1, 300), .c = test_pick(&state, 1, 70)};
    g.n = test_pick(&state, 1, 20), g.f = test_pick(&state, 1, 70), g.stride = test_pick(&state, 1, 5);
    g.kh = test_pick(&state, 1, 9), g.kw = test_pick(&state, 0, 2) ? test_pick(&state, 1, 9) : g.kh;
    g.padding = test_pick(&state, 0, 6);
    if (g.h + 2 * g.padding < g.kh || g.w + 2 * g.padding < g.kw) continue;
    const double outputs =
        ((g.h + 2.0 * g.padding - g.kh) / g.stride + 1) * ((g.w + 2.0 * g.padding - g.kw) / g.stride + 1);
    if (g.n * outputs * g.kh * g.kw * g.c * g.f > 2e6) continue;
    test_conv(g);
    drawn++;
  }
}
