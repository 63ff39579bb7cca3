/* Pooling and its gradients against loops over every window, in double precision. */
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  int n, h, w, c, k, stride, padding;
} geometry;

typedef struct {
  double *max, *mean, *max_gradient, *mean_gradient;
  int32_t *index;
} results;

static double *zeros(ptrdiff_t n) { return calloc((size_t)n + 1, sizeof(double)); }

static float *to_float(double *in, ptrdiff_t n) {
  float *out = test_floats(n);
  for (ptrdiff_t i = 0; i < n; i++) out[i] = (float)in[i];
  free(in);
  return out;
}

/** One channel of one window, output element `o`; `image` is its element of x in the first pixel. */
static void naive_window(const geometry *g, results *r, const float *x, const float *dy, ptrdiff_t o, ptrdiff_t image,
                         int oy, int ox) {
  double best = -INFINITY, sum = 0;
  int32_t from = -1;
  const int top = oy * g->stride - g->padding, left = ox * g->stride - g->padding;
  for (int pass = 0; pass < 2; pass++)
    for (int y = top < 0 ? 0 : top; y < top + g->k && y < g->h; y++)
      for (int i = left < 0 ? 0 : left; i < left + g->k && i < g->w; i++) {
        const int32_t pixel = y * g->w + i;
        const ptrdiff_t at = image + (ptrdiff_t)pixel * g->c;
        const double value = (double)x[at];
        if (pass == 1) {
          r->mean_gradient[at] += (double)dy[o] / ((double)g->k * g->k);
          continue;
        }
        if (from < 0 || value > best || isnan(value)) best = value, from = pixel;
        sum += value;
      }
  r->max[o] = best, r->mean[o] = sum / ((double)g->k * g->k), r->index[o] = from;
  r->max_gradient[image + (ptrdiff_t)from * g->c] += (double)dy[o];
}

static void test_pool(geometry g) {
  const int oh = (g.h + 2 * g.padding - g.k) / g.stride + 1, ow = (g.w + 2 * g.padding - g.k) / g.stride + 1;
  const ptrdiff_t nx = (ptrdiff_t)g.n * g.h * g.w * g.c, ny = (ptrdiff_t)g.n * oh * ow * g.c;
  float *x = test_random(nx, 1), *dy = test_random(ny, 2);
  for (ptrdiff_t i = 0; i < nx; i++) x[i] = roundf(x[i] * 8) / 8; /* there are ties */
  for (ptrdiff_t i = 0; i < nx; i += 97) x[i] = i % 2 ? NAN : -INFINITY;
  int32_t *index = malloc(sizeof *index * (size_t)(ny + 1));
  results r = {zeros(ny), zeros(ny), zeros(nx), zeros(nx), malloc(sizeof *index * (size_t)(ny + 1))};
  for (ptrdiff_t o = 0; o < ny; o++) {
    const ptrdiff_t pixel = o / g.c, image = pixel / ((ptrdiff_t)oh * ow);
    naive_window(&g, &r, x, dy, o, image * g.h * g.w * g.c + o % g.c, (int)(pixel / ow % oh), (int)(pixel % ow));
  }
  float *max = to_float(r.max, ny), *mean = to_float(r.mean, ny), *max_gradient = to_float(r.max_gradient, nx),
        *mean_gradient = to_float(r.mean_gradient, nx);
  float *y = test_nan(ny), *dx = test_nan(nx);
  memset(index, -1, sizeof *index * (size_t)ny);

  const int32_t shape[] = {g.n, g.h, g.w, g.c, g.k, g.stride, g.padding};
  char name[96];
  snprintf(name, sizeof name, "x (%d, %d, %d, %d), k %d, stride %d, padding %d", g.n, g.h, g.w, g.c, g.k, g.stride,
           g.padding);
  check(th_max_pool(y, index, x, shape) == TH_STATUS_OK, "max status, %s", name);
  check_close(y, max, ny, 0, "max, %s", name);
  check(!memcmp(index, r.index, sizeof *index * (size_t)ny), "where the maximum is, %s", name);
  check(th_max_pool_backward(dx, dy, index, shape) == TH_STATUS_OK, "max gradient status, %s", name);
  check_close(dx, max_gradient, nx, 1e-6 * g.k, "max gradient, %s", name);
  float *again = test_nan(ny);
  th_max_pool(again, NULL, x, shape);
  check_close(again, max, ny, 0, "max without index, %s", name);
  free(again);
  check(th_avg_pool(y, x, shape, 1 / ((double)g.k * g.k)) == TH_STATUS_OK, "mean status, %s", name);
  check_close(y, mean, ny, 1e-6, "mean, %s", name);
  check(th_avg_pool_backward(dx, dy, shape, 1 / ((double)g.k * g.k)) == TH_STATUS_OK, "mean gradient status, %s", name);
  check_close(dx, mean_gradient, nx, 1e-6, "mean gradient, %s", name);
  free(x), free(dy), free(index), free(r.index), free(y), free(dx);
  free(max), free(mean), free(max_gradient), free(mean_gradient);
}

TEST_SUITE(pool) {
  static const geometry shapes[] = {
      {0, 4, 4, 3, 2, 2, 0},   {1, 1, 1, 1, 1, 1, 0},         {2, 6, 6, 16, 2, 2, 0}, {2, 7, 5, 33, 3, 2, 1},
      {1, 9, 11, 64, 3, 1, 1}, {3, 8, 8, 5, 8, 8, 0},         {1, 5, 6, 17, 2, 3, 1}, {1, 1, 3, 4, 2, 1, 1},
      {1, 2, 1, 4, 6, 2, 3},   {1, 1, 1, 2, 70000, 1, 35000}, {2, 4, 4, 0, 2, 2, 0},  {1, 4, 4, 3, 2, 9999, 0},
  };
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) test_pool(shapes[i]);
}

TEST_SUITE(pool_any) {
  uint64_t state = 1;
  for (int drawn = 0; drawn < 40 * test_draws;) {
    geometry g = {.n = test_pick(&state, 1, 9), .h = test_pick(&state, 1, 40), .w = test_pick(&state, 1, 40)};
    g.c = test_pick(&state, 1, 70), g.k = test_pick(&state, 1, 9), g.stride = test_pick(&state, 1, 6);
    g.padding = test_pick(&state, 0, g.k / 2);
    if (g.h + 2 * g.padding < g.k || g.w + 2 * g.padding < g.k) continue;
    if ((double)g.n * g.h * g.w * g.c * g.k * g.k > 1e6 * g.stride) continue;
    test_pool(g);
    drawn++;
  }
}
