/*
 * Times the matrix-product engine on the shapes of the models: ResNet-9 at batch 128, and an LSTM language model.
 *   engine_bench [threads [part of a name]]
 * For each: the median of many runs, and the rate counting every multiplication, also those with padding.
 */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

enum { ROUNDS = 51 };

static const char *wanted = "";

static void report(const char *name, double flops, double seconds[ROUNDS]) {
  qsort(seconds, ROUNDS, sizeof *seconds, by_value);
  printf("%-44s %10.2f us %7.1f GFLOP/s\n", name, seconds[ROUNDS / 2] * 1e6, flops / seconds[ROUNDS / 2] / 1e9);
}

/* The first run is not counted: it takes the work space. */
#define BENCH(name, flops, call)                                                                                       \
  do {                                                                                                                 \
    double seconds[ROUNDS];                                                                                            \
    if (!strstr(name, wanted)) break;                                                                                  \
    for (int round = -1; round < ROUNDS; round++) {                                                                    \
      const double start = test_seconds();                                                                             \
      if ((call) != TH_STATUS_OK) printf("%s: %s\n", name, th_last_error());                                           \
      if (round >= 0) seconds[round] = test_seconds() - start;                                                         \
    }                                                                                                                  \
    report(name, flops, seconds);                                                                                      \
  } while (0)

static void bench_conv(int n, int h, int c, int f, int k, int stride) {
  const int padding = k / 2, oh = (h + 2 * padding - k) / stride + 1;
  const ptrdiff_t nx = (ptrdiff_t)n * h * h * c, nw = (ptrdiff_t)k * k * c * f, ny = (ptrdiff_t)n * oh * oh * f;
  float *x = test_random(nx, 1), *weight = test_random(nw, 2), *dy = test_random(ny, 3);
  float *y = test_floats(ny), *dx = test_floats(nx), *dweight = test_floats(nw);
  float *var = test_floats(f);
  for (int i = 0; i < f; i++) var[i] = 1;
  const int32_t geometry[] = {n, h, h, c, f, k, k, stride, padding};
  const double flops = 2.0 * (double)ny * k * k * c;
  char name[96];
  snprintf(name, sizeof name, "conv %dx%dx%dx%d %dx%dx%d/%d", n, h, h, c, k, k, f, stride);
  BENCH(name, flops, th_conv(y, x, weight, NULL, geometry));
  double layer[TH_LAYER_ENTRIES];
  test_layer(layer, geometry, weight, NULL);
  layer[TH_LAYER_GAMMA] = layer[TH_LAYER_BETA] = layer[TH_LAYER_MEAN] = test_address(weight);
  layer[TH_LAYER_VAR] = test_address(var), layer[TH_LAYER_RELU] = 1;
  BENCH("  as a layer with batch norm", flops, th_layers(y, x, NULL, layer, 1, n, 0));
  BENCH("  data gradient", flops, th_conv_backward_data(dx, dy, weight, geometry));
  BENCH("  weight gradient", flops, th_conv_backward_weight(dweight, NULL, x, dy, geometry));
  free(x), free(weight), free(dy), free(y), free(dx), free(dweight), free(var);
}

static void bench_matmul(int m, int n, int k, int a_transposed, int b_transposed) {
  float *a = test_random((ptrdiff_t)m * k, 1), *b = test_random((ptrdiff_t)k * n, 2),
        *c = test_floats((ptrdiff_t)m * n);
  const int32_t shape[] = {m, n, k, a_transposed ? m : k, b_transposed ? k : n, a_transposed, b_transposed, 0};
  char name[96];
  snprintf(name, sizeof name, "matmul %dx%dx%d%s%s", m, n, k, a_transposed ? ", a transposed" : "",
           b_transposed ? ", b transposed" : "");
  BENCH(name, 2.0 * m * n * k, th_matmul(c, a, b, NULL, shape));
  free(a), free(b), free(c);
}

static void bench_batch(int count, int n) {
  const ptrdiff_t size = (ptrdiff_t)n * n;
  float *a = test_random(count * size, 1), *b = test_random(count * size, 2), *c = test_floats(count * size);
  const int32_t shape[] = {n, n, n, n, n, 0, 0, 1, count, n * n, n * n};
  char name[96];
  snprintf(name, sizeof name, "matmul of %d, %dx%dx%d", count, n, n, n);
  BENCH(name, 2.0 * count * n * n * n, th_matmul(c, a, b, NULL, shape));
  free(a), free(b), free(c);
}

static void bench_lstm(int steps, int batch, int hidden) {
  const ptrdiff_t rows = (ptrdiff_t)steps * batch, columns = 4 * hidden, state = (ptrdiff_t)batch * hidden;
  float *x = test_random(rows * hidden, 1), *w = test_random(2 * hidden * columns, 2), *bias = test_random(columns, 3);
  float *states = test_floats(rows * hidden + state), *cells = test_floats(rows * hidden + state);
  float *gates = test_floats(rows * columns), *dx = test_floats(rows * hidden), *dw = test_floats(2 * hidden * columns);
  for (ptrdiff_t i = 0; i < 2 * hidden * columns; i++) w[i] *= 0.05f;
  float *const u = w + hidden * columns, *const du = dw + hidden * columns;
  const double flops = 2.0 * (double)rows * 2 * hidden * (double)columns;
  char name[96];
  snprintf(name, sizeof name, "lstm %d steps, batch %d, %d to %d", steps, batch, hidden, hidden);
  BENCH(name, flops, th_lstm(states, cells, gates, x, NULL, NULL, w, u, bias, bias, steps, batch, hidden, hidden));
  snprintf(name, sizeof name, "  lstm backward");
  BENCH(name, 2 * flops,
        th_lstm_backward(dx, NULL, NULL, dw, du, dw, gates, x, NULL, x, states, cells, w, u, steps, batch, hidden,
                         hidden));
  free(x), free(w), free(bias), free(states), free(cells), free(gates), free(dx), free(dw);
}

static void bench_linear_cross_entropy(int rows, int features, int classes) {
  const ptrdiff_t inputs = (ptrdiff_t)rows * features, weights = (ptrdiff_t)features * classes;
  float *x = test_random(inputs, 1), *w = test_random(weights, 2), *bias = test_random(classes, 3), loss, correct;
  float *dx = test_floats(inputs), *dw = test_floats(weights), *dbias = test_floats(classes);
  int32_t *labels = malloc(sizeof *labels * (size_t)rows);
  for (int r = 0; r < rows; r++) labels[r] = (int)((ptrdiff_t)r * 7919 % classes);
  char name[96];
  snprintf(name, sizeof name, "linear cross entropy %dx%d to %d", rows, features, classes);
  BENCH(
      name, 6.0 * rows * (double)weights,
      th_linear_cross_entropy(&loss, &correct, dx, dw, dbias, x, w, bias, labels, rows, features, classes, classes, 0));
  free(x), free(w), free(bias), free(dx), free(dw), free(dbias), free(labels);
}

int main(int argc, char **argv) {
  if (argc > 1) th_set_threads(atoi(argv[1]));
  if (argc > 2) wanted = argv[2];
  printf("instruction set %d, %d threads\n", th_get_isa(), th_get_threads());
  bench_conv(128, 32, 3, 16, 7, 4);
  bench_conv(128, 8, 16, 32, 3, 2);
  bench_conv(128, 4, 32, 32, 3, 1);
  bench_conv(128, 4, 32, 64, 3, 2);
  bench_conv(128, 2, 64, 128, 3, 2);
  bench_conv(128, 1, 128, 128, 3, 1);
  bench_conv(16, 56, 64, 64, 3, 1);
  bench_matmul(128, 128, 128, 0, 0);
  bench_matmul(128, 10, 128, 0, 0);
  bench_matmul(700, 10000, 200, 0, 0);
  bench_matmul(200, 10000, 700, 1, 0);
  bench_matmul(700, 200, 10000, 0, 1);
  bench_matmul(700, 800, 200, 0, 0);
  bench_matmul(200, 800, 700, 1, 0);
  bench_matmul(700, 200, 800, 0, 1);
  bench_matmul(20, 800, 200, 0, 0);
  bench_matmul(20, 200, 800, 0, 1);
  bench_matmul(200, 800, 20, 1, 0);
  bench_matmul(1024, 1024, 1024, 0, 0);
  bench_matmul(16, 16, 16, 0, 0);
  bench_matmul(32, 32, 32, 0, 0);
  bench_matmul(512, 512, 512, 0, 0);
  bench_matmul(768, 768, 768, 0, 0);
  bench_matmul(512, 512, 512, 1, 0);
  bench_matmul(512, 512, 512, 0, 1);
  bench_matmul(8192, 16, 147, 0, 0);
  bench_matmul(64, 64, 8192, 0, 0);
  bench_matmul(20, 2600, 650, 0, 0);
  bench_matmul(20, 650, 2600, 0, 1);
  bench_batch(1000, 8);
  bench_batch(64, 64);
  bench_lstm(35, 20, 200);
  bench_lstm(35, 20, 650);
  bench_lstm(40, 16, 100);
  bench_linear_cross_entropy(700, 200, 10000);
  bench_linear_cross_entropy(700, 650, 10000);
  bench_linear_cross_entropy(640, 100, 10000);
  return 0;
}
