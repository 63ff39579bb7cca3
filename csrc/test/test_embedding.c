/* Embedding, and images: kernels that move rows. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void check_embedding(int count, int dim, int rows) {
  float *table = test_random((ptrdiff_t)rows * dim, 1), *out = test_nan((ptrdiff_t)count * dim),
        *dy = test_random((ptrdiff_t)count * dim, 2);
  float *dtable = test_nan((ptrdiff_t)rows * dim), *expected = calloc((size_t)rows * (size_t)dim + 1, sizeof *expected);
  int32_t *ids = malloc(sizeof *ids * (size_t)(count + 1));
  int same = 1;
  for (int i = 0; i < count; i++) ids[i] = (int32_t)((i * 7919L + i % 3) % rows) % (i % 2 ? 5 : rows) % rows;
  check(th_embedding(out, table, ids, count, dim, rows) == TH_STATUS_OK, "status");
  for (ptrdiff_t i = 0; i < count; i++)
    for (ptrdiff_t j = 0; j < dim; j++) {
      same &= out[i * dim + j] == table[(ptrdiff_t)ids[i] * dim + j];
      expected[(ptrdiff_t)ids[i] * dim + j] += dy[i * dim + j];
    }
  check(same, "embedding of %d ids, %d x %d", count, rows, dim);
  th_embedding_backward(dtable, dy, ids, count, dim, rows);
  check(!memcmp(dtable, expected, sizeof(float) * (size_t)rows * (size_t)dim),
        "embedding gradient of %d ids, %d x %d: sums in order", count, rows, dim);
  if (count) {
    ids[count - 1] = rows;
    check(test_settled(th_embedding(out, table, ids, count, dim, rows)) == TH_STATUS_INDEX, "an id beyond the table");
    ids[count - 1] = -1;
    check(test_settled(th_embedding(out, table, ids, count, dim, rows)) == TH_STATUS_INDEX && *th_last_error(),
          "a negative id");
  }
  free(table), free(out), free(dy), free(dtable), free(expected), free(ids);
}

TEST_SUITE(embedding) {
  check_embedding(0, 4, 3);
  check_embedding(1, 1, 1);
  check_embedding(7, 3, 5);
  check_embedding(700, 33, 1000);
  check_embedding(3000, 20, 11);
}

static void check_images(int count, int channels, int height, int width) {
  enum { IMAGES = 4 };
  const ptrdiff_t size = (ptrdiff_t)channels * height * width;
  uint8_t *images = malloc((size_t)(IMAGES * size));
  float *out = test_nan(count * size), *expected = test_floats(count * size);
  int32_t *plan = malloc(sizeof *plan * 4 * (size_t)count);
  for (ptrdiff_t i = 0; i < IMAGES * size; i++) images[i] = (uint8_t)(i * 31 + i / 7);
  for (int i = 0; i < count; i++) {
    const int32_t row[] = {i * 3 % IMAGES, i & 1, i % 11 - 5, i % 7 - 3};
    memcpy(plan + 4 * i, row, sizeof row);
    for (int y = 0; y < height; y++)
      for (int x = 0; x < width; x++)
        for (int c = 0; c < channels; c++) {
          const int sy = y + row[2], shifted = x + row[3], sx = row[1] ? width - 1 - shifted : shifted;
          const int inside = sy >= 0 && sy < height && shifted >= 0 && shifted < width;
          expected[i * size + ((ptrdiff_t)y * width + x) * channels + c] =
              inside ? (float)images[row[0] * size + ((ptrdiff_t)c * height + sy) * width + sx] / 255.0f : 0;
        }
  }
  check(th_gather_images(out, images, plan, count, channels, height, width) == TH_STATUS_OK, "status");
  check_close(out, expected, count * size, 0, "%d images of %d x %d x %d", count, channels, height, width);
  free(images), free(out), free(expected), free(plan);
}

TEST_SUITE(images) {
  check_images(78, 3, 32, 32);
  check_images(25, 1, 5, 3);
  check_images(25, 2, 1, 1);
  check_images(30, 3, 7, 17);
  check_images(11, 4, 8, 8);
}
