/* Elements by index, sums by index, running sums and sorted rows, against plain loops. */
#include "layouts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/** The shape of ids, and the strides of an array whose `axis` is indexed: zero there. */
static void indexed_layout(int32_t layout[], const test_shape *ids, const int stride[], int axis) {
  layout[0] = ids->ndim;
  for (int i = 0; i < ids->ndim; i++) {
    layout[1 + i] = ids->shape[i];
    layout[1 + ids->ndim + i] = i == axis ? 0 : stride[i];
  }
}

static void check_gather(const test_shape *shape, test_kind kind, int axis, int indices) {
  test_shape taken = *shape; /* of ids: fewer places along the first other axis too */
  taken.shape[axis] = indices;
  const int first = axis == 0 ? 1 : 0;
  if (shape->ndim > 1 && taken.shape[first] > 1) taken.shape[first]--;
  taken.count = 1;
  for (int i = 0; i < shape->ndim; i++) taken.count *= taken.shape[i];
  const int size = shape->shape[axis];
  if (size == 0) return;

  test_array in = test_strided(shape, kind, 7);
  float *out = test_nan(taken.count), *dy = test_random(taken.count, 3);
  float *sums = test_random(shape->count, 4), *expected = test_floats(shape->count);
  int32_t *ids = malloc(sizeof *ids * (size_t)(taken.count + 1)), layout[1 + 2 * 16];
  memcpy(expected, sums, sizeof(float) * (size_t)shape->count);
  test_array plain = {.first = sums, .floats = shape->count};
  for (int i = shape->ndim - 1, stride = 1; i >= 0; stride *= shape->shape[i--]) plain.stride[i] = stride;

  for (ptrdiff_t i = 0; i < taken.count; i++) ids[i] = (int32_t)((i * 7919 + i % 3) % (i % 2 ? (size + 1) / 2 : size));
  indexed_layout(layout, &taken, in.stride, axis);
  check(th_gather(out, in.first, ids, layout, size, in.stride[axis]) == TH_STATUS_OK, "status");
  int same = 1;
  for (ptrdiff_t i = 0; i < taken.count; i++) {
    ptrdiff_t of_in = (ptrdiff_t)ids[i] * in.stride[axis], of_sums = (ptrdiff_t)ids[i] * plain.stride[axis], rest = i;
    for (int a = shape->ndim - 1; a >= 0; rest /= taken.shape[a--]) {
      if (a == axis) continue;
      of_in += rest % taken.shape[a] * in.stride[a];
      of_sums += rest % taken.shape[a] * plain.stride[a];
    }
    same &= out[i] == in.first[of_in];
    expected[of_sums] += dy[i];
  }
  check(same, "%d indices of axis %d of %d, kind %d", indices, axis, shape->ndim, kind);
  indexed_layout(layout, &taken, plain.stride, axis);
  check(th_scatter_add(sums, dy, ids, layout, size, plain.stride[axis]) == TH_STATUS_OK, "status");
  check(!memcmp(sums, expected, sizeof(float) * (size_t)shape->count), "%d sums by index along axis %d of %d: in order",
        indices, axis, shape->ndim);
  if (taken.count > 0)
    for (int wrong = 0; wrong < 2; wrong++) {
      ids[taken.count - 1] = wrong ? -1 : size;
      indexed_layout(layout, &taken, in.stride, axis);
      check(test_settled(th_gather(out, in.first, ids, layout, size, in.stride[axis])) == TH_STATUS_INDEX &&
                *th_last_error(),
            "an index outside the axis");
    }
  free(in.memory), free(out), free(dy), free(sums), free(expected), free(ids);
}

TEST_SUITE(gather_layouts) {
  for (int s = 0; s < TEST_SHAPES; s++)
    for (test_kind kind = CONTIGUOUS; kind < KINDS; kind++)
      for (int axis = 0; axis < test_shapes[s].ndim; axis++)
        check_gather(&test_shapes[s], kind, axis, test_shapes[s].shape[axis] / 2 + 1);
}

TEST_SUITE(gather_any) {
  uint64_t state = 11;
  for (int draw = 0; draw < 12 * test_draws; draw++) {
    test_shape shape = {.ndim = test_pick(&state, 1, 3), .count = 1};
    for (int i = 0; i < shape.ndim; i++) shape.count *= shape.shape[i] = test_pick(&state, 1, i == 0 ? 400 : 60);
    const int axis = test_pick(&state, 0, shape.ndim - 1);
    check_gather(&shape, CONTIGUOUS, axis, test_pick(&state, 0, shape.ndim == 1 ? 60000 : 90));
  }
}

/* ------------------------------------------------------------------------------------------------ cum sum */

static void check_cum_sum(const test_shape *shape, test_kind kind) {
  if (shape->ndim == 0) return;
  test_array in = test_strided(shape, kind, 5), out = test_strided(shape, kind < BROADCAST ? kind : CONTIGUOUS, 6);
  int32_t layout[1 + 3 * 16];
  test_layout(layout, shape, 2, (const test_array *const[]){&out, &in});
  check(th_cum_sum(out.first, in.first, layout, TH_DTYPE_FLOAT32) == TH_STATUS_OK, "status");
  const ptrdiff_t n = shape->shape[shape->ndim - 1];
  float *found = test_floats(shape->count), *expected = test_floats(shape->count);
  double sum = 0;
  for (ptrdiff_t i = 0; i < shape->count; i++) {
    sum = (i % n ? sum : 0) + (double)in.first[test_offset(shape, &in, i)];
    expected[i] = (float)sum;
    found[i] = out.first[test_offset(shape, &out, i)];
  }
  check_close(found, expected, shape->count, 1e-7, "running sums of %d axes, %td elements, kind %d", shape->ndim,
              shape->count, kind);
  free(in.memory), free(out.memory), free(found), free(expected);
}

TEST_SUITE(cum_sum) {
  for (int s = 0; s < TEST_SHAPES; s++)
    for (test_kind kind = CONTIGUOUS; kind < KINDS; kind++) check_cum_sum(&test_shapes[s], kind);
  static const int32_t x[] = {INT32_MAX, 1, -5, 7};
  int32_t sums[4];
  th_cum_sum(sums, x, (const int32_t[]){1, 4, 1, 1}, TH_DTYPE_INT32);
  check(sums[0] == INT32_MAX && sums[1] == INT32_MIN && sums[2] == INT32_MAX - 4 && sums[3] == INT32_MIN + 2,
        "running sums that wrap are %d, %d, %d, %d", sums[0], sums[1], sums[2], sums[3]);
}

TEST_SUITE(cum_sum_any) {
  uint64_t state = 5;
  for (int draw = 0; draw < 12 * test_draws; draw++) {
    test_shape shape = {.ndim = test_pick(&state, 1, 3), .count = 1};
    for (int i = 0; i < shape.ndim; i++) shape.count *= shape.shape[i] = test_pick(&state, 1, i == 0 ? 700 : 90);
    check_cum_sum(&shape, (test_kind)test_pick(&state, CONTIGUOUS, KINDS - 1));
  }
}

/* --------------------------------------------------------------------------------------------------- sort */

/** Whether element i of a row comes before element j. */
static int is_before(const void *x, ptrdiff_t i, ptrdiff_t j, int descending, int dtype) {
  const double sign = descending ? -1 : 1;
  double a, b;
  if (dtype == TH_DTYPE_INT32) a = ((const int32_t *)x)[i], b = ((const int32_t *)x)[j];
  else a = (double)((const float *)x)[i], b = (double)((const float *)x)[j];
  if (isnan(a) != isnan(b)) return isnan(a) == descending;
  if (isnan(a) || a == b) return i < j;
  return sign * a < sign * b;
}

static void check_sort(const void *x, int rows, int cols, int count, int descending, int dtype) {
  const float *in = x;
  float *values = test_nan((ptrdiff_t)rows * count);
  int32_t *indices = malloc(sizeof *indices * ((size_t)rows * (size_t)count + 1)), *seen = calloc((size_t)cols + 1, 4);
  check(th_sort(values, indices, in, rows, cols, count, descending, dtype) == TH_STATUS_OK, "status");
  int ordered = 1, same = 1;
  for (ptrdiff_t row = 0; row < rows; row++) {
    const int32_t *index = indices + row * count;
    memset(seen, 0, sizeof *seen * (size_t)cols);
    for (int i = 0; i < count; i++) {
      same &= !memcmp(values + row * count + i, in + row * cols + index[i], sizeof(float)) && !seen[index[i]]++;
      if (i > 0) ordered &= is_before(in + row * cols, index[i - 1], index[i], descending, dtype);
    }
    for (int j = 0; j < cols && count > 0; j++) /* none that is left out comes before the last */
      ordered &= seen[j] || is_before(in + row * cols, index[count - 1], j, descending, dtype);
  }
  check(ordered, "the first %d of %d rows of %d, descending %d, dtype %d: in order", count, rows, cols, descending,
        dtype);
  check(same, "the first %d of %d rows of %d, descending %d, dtype %d: the elements", count, rows, cols, descending,
        dtype);
  free(values), free(indices), free(seen);
}

/** Floats with many ties, both zeros, infinities and NaN; or integers of all sizes. */
static void *sortable(ptrdiff_t n, int dtype, uint64_t seed) {
  static const float special[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e-40f, -1e-40f, -NAN};
  float *x = test_random(n, seed);
  for (ptrdiff_t i = 0; i < n; i++) {
    if (dtype == TH_DTYPE_INT32) ((int32_t *)x)[i] = (int32_t)(x[i] * (i % 3 ? 2147483520.0f : 9.0f));
    else if (i % 5 == 0) x[i] = special[i / 5 % 8];
    else if (i % 3 == 0) x[i] = (float)(int)(x[i] * 4);
  }
  if (dtype == TH_DTYPE_INT32 && n > 3) ((int32_t *)x)[1] = INT32_MIN, ((int32_t *)x)[2] = INT32_MAX;
  return x;
}

TEST_SUITE(sort) {
  static const int shapes[][3] = {{1, 1, 1},      {3, 2, 2},    {5, 48, 48},  {4, 49, 49},
                                  {7, 100, 12},   {3, 100, 13}, {2, 1000, 1}, {1, 1025, 1025},
                                  {2, 3000, 400}, {300, 5, 3},  {0, 4, 2},    {3, 4, 0}};
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
    for (int dtype = TH_DTYPE_FLOAT32; dtype <= TH_DTYPE_INT32; dtype++)
      for (int descending = 0; descending < 2; descending++) {
        const int *of = shapes[s];
        void *x = sortable((ptrdiff_t)of[0] * of[1], dtype, s);
        check_sort(x, of[0], of[1], of[2], descending, dtype);
        free(x);
      }
}

TEST_SUITE(sort_any) {
  uint64_t state = 3;
  for (int draw = 0; draw < 12 * test_draws; draw++) {
    const int rows = test_pick(&state, 1, 200), cols = test_pick(&state, 1, 900), count = test_pick(&state, 1, cols);
    const int dtype = test_pick(&state, 0, 1);
    void *x = sortable((ptrdiff_t)rows * cols, dtype, state);
    check_sort(x, rows, cols, count, test_pick(&state, 0, 1), dtype);
    free(x);
  }
}
