/* th_matmul against three nested loops in double precision. */
#include "test.h"

#include <math.h>
#include <stdlib.h>

static void naive(float *c, const float *a, const float *b, const float *bias, int m, int n, int k, int lda, int ldb,
                  int a_transposed, int b_transposed) {
  for (ptrdiff_t i = 0; i < m; i++)
    for (ptrdiff_t j = 0; j < n; j++) {
      double sum = bias ? bias[j] : 0;
      for (ptrdiff_t p = 0; p < k; p++)
        sum +=
            (double)(a_transposed ? a[p * lda + i] : a[i * lda + p]) * (b_transposed ? b[j * ldb + p] : b[p * ldb + j]);
      c[i * n + j] = (float)sum;
    }
}

/* Floats that a rows × cols matrix with row stride ld takes; the last row has no gap behind it. */
static ptrdiff_t extent(int rows, int cols, int ld) { return rows && cols ? (ptrdiff_t)(rows - 1) * ld + cols : 0; }

static void test_product(int m, int n, int k, int a_transposed, int b_transposed, int gap, int with_bias) {
  const int a_cols = a_transposed ? m : k, b_cols = b_transposed ? k : n, lda = a_cols + gap, ldb = b_cols + gap;
  float *a = test_random(extent(a_transposed ? k : m, a_cols, lda), 1),
        *b = test_random(extent(b_transposed ? n : k, b_cols, ldb), 2);
  float *bias = with_bias ? test_random(n, 3) : NULL;
  float *c = test_nan((ptrdiff_t)m * n), *expected = test_floats((ptrdiff_t)m * n);
  const int32_t shape[] = {m, n, k, lda, ldb, a_transposed, b_transposed, 0};
  const int32_t status = th_matmul(c, a, b, bias, shape);
  naive(expected, a, b, bias, m, n, k, lda, ldb, a_transposed, b_transposed);
  check(status == TH_STATUS_OK, "status %d", status);
  check_close(c, expected, (ptrdiff_t)m * n, 2e-6 * (1 + sqrt(k)), "matmul %d x %d x %d%s%s, gap %d%s", m, n, k,
              a_transposed ? ", a transposed" : "", b_transposed ? ", b transposed" : "", gap,
              with_bias ? ", bias" : "");
  free(a), free(b), free(bias), free(c), free(expected);
}

static void test_layouts(int m, int n, int k) {
  for (int layout = 0; layout < 4; layout++)
    for (int variant = 0; variant < 4; variant++)
      test_product(m, n, k, layout & 1, layout >> 1, variant & 1 ? 3 : 0, variant >> 1);
}

TEST_SUITE(matmul) {
  static const int sizes[] = {0, 1, 2, 3, 7, 8, 9, 16, 17, 31, 33};
  for (int i = 0; i < 11; i++)
    for (int j = 0; j < 11; j++)
      for (int l = 0; l < 11; l++)
        test_product(sizes[i], sizes[j], sizes[l], (i + j + l) & 1, (i + l) >> 1 & 1, 0, (j + l) & 1);
  static const int shapes[][3] = {
      {64, 64, 64},    {128, 128, 128}, {128, 10, 128}, {20, 800, 200},  {20, 83, 650},   {100, 130, 600},
      {70, 1000, 90},  {301, 97, 333},  {1, 300, 500},  {500, 1, 300},   {1, 5000, 70},   {5000, 1, 71},
      {300, 400, 1},   {3, 5, 2000},    {45, 16, 147},  {50, 32, 288},   {1000, 10, 28},  {1000, 3, 77},
      {200, 900, 70},  {40, 50, 1024},  {64, 48, 2048}, {29, 60, 1025},  {400, 40, 400},  {2, 2100, 300},
      {3, 517, 700},   {4, 1024, 90},   {7, 512, 333},  {8, 1024, 1600}, {26, 1000, 200}, {190, 560, 360},
      {2101, 1003, 5}, {5, 40, 261},    {11, 200, 519}, {4, 33, 300},
  };
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) test_layouts(shapes[i][0], shapes[i][1], shapes[i][2]);
}

/* Drawn at random, what a cut into more parts than there are panels of columns went wrong with, and long K. */
TEST_SUITE(matmul_any) {
  test_product(16, 100, 700, 0, 0, 0, 0);
  test_product(64, 100, 512, 0, 0, 0, 1);
  test_product(16, 64, 784, 0, 0, 0, 0);
  test_product(128, 36, 4096, 0, 0, 0, 1); /* all rows in one block, which is too long for the cache */
  test_product(50, 33, 9001, 1, 0, 3, 0);
  uint64_t state = 1;
  for (int i = 0; i < 150 * test_draws; i++) {
    const int m = test_pick(&state, 1, 300), n = test_pick(&state, 1, 300);
    const int k = test_pick(&state, 1, 1 + 1500000 / (m * n) % 2000), layout = test_pick(&state, 0, 15);
    test_product(m, n, k, layout & 1, layout >> 1 & 1, layout >> 2 & 1 ? 3 : 0, layout >> 3);
  }
}

/* Batches: strides of a whole matrix, zero (broadcast) and reversed axes. */
static void test_batch(int m, int n, int k, int outer, int inner, int a_outer, int a_inner, int b_outer, int b_inner,
                       int a_transposed, int b_transposed) {
  const int lda = a_transposed ? m : k, ldb = b_transposed ? k : n, asize = m * k, bsize = k * n, count = outer * inner;
  float *a = test_random((ptrdiff_t)count * asize, 4), *b = test_random((ptrdiff_t)count * bsize, 5),
        *bias = test_random(n, 6);
  float *c = test_nan((ptrdiff_t)count * m * n), *expected = test_floats((ptrdiff_t)count * m * n);
  const int32_t shape[] = {m,
                           n,
                           k,
                           lda,
                           ldb,
                           a_transposed,
                           b_transposed,
                           2,
                           outer,
                           inner,
                           a_outer * asize,
                           a_inner * asize,
                           b_outer * bsize,
                           b_inner * bsize};
  check(th_matmul(c, a, b, bias, shape) == TH_STATUS_OK, "batched matmul");
  for (int i = 0; i < outer; i++)
    for (int j = 0; j < inner; j++)
      naive(expected + (ptrdiff_t)(i * inner + j) * m * n, a + (ptrdiff_t)(i * a_outer + j * a_inner) * asize,
            b + (ptrdiff_t)(i * b_outer + j * b_inner) * bsize, bias, m, n, k, lda, ldb, a_transposed, b_transposed);
  check_close(c, expected, (ptrdiff_t)count * m * n, 2e-6 * (1 + sqrt(k)),
              "batch %d x %d of %d x %d x %d, strides a %d %d, b %d %d", outer, inner, m, n, k, a_outer, a_inner,
              b_outer, b_inner);
  free(a), free(b), free(bias), free(c), free(expected);
}

TEST_SUITE(matmul_batch) {
  static const int products[][3] = {{1, 1, 1},      {5, 7, 3}, {33, 20, 40}, {70, 65, 90},
                                    {128, 128, 64}, {4, 4, 0}, {0, 4, 4}};
  static const int batches[][2] = {{0, 3}, {1, 1}, {2, 3}, {5, 1}, {1, 7}, {4, 4}};
  for (size_t p = 0; p < sizeof products / sizeof *products; p++)
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
      const int m = products[p][0], n = products[p][1], k = products[p][2], outer = batches[i][0],
                inner = batches[i][1];
      test_batch(m, n, k, outer, inner, inner, 1, inner, 1, 0, 0); /* contiguous */
      test_batch(m, n, k, outer, inner, inner, 1, 0, 0, 0, 0);     /* one b: more rows */
      test_batch(m, n, k, outer, inner, 0, 0, inner, 1, 0, 1);     /* one a */
      test_batch(m, n, k, outer, inner, 1, outer, 0, 1, 1, 0); /* axes of a exchanged, b broadcast over the outer one */
    }
}
