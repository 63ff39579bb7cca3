/* Elementwise kernels on every layout, with one operation of each kind. */
#include "layouts.h"

#include <stdlib.h>
#include <string.h>

enum { LAYOUT = 1 + 16 * 5 };

/** One operation over arrays that lie as they like; what the output's gaps hold must survive. */
static void check_layout(const test_shape *shape, test_kind out_kind, test_kind a_kind, test_kind b_kind) {
  test_array out = test_strided(shape, out_kind, 1), a = test_strided(shape, a_kind, 2),
             b = test_strided(shape, b_kind, 3), flags = test_strided(shape, (test_kind)((a_kind + b_kind) % KINDS), 4);
  for (ptrdiff_t i = 0; i < flags.floats; i++) flags.memory[i] = flags.memory[i] < 0 ? -0.0f : flags.memory[i];
  float *expected = test_floats(out.floats);
  int32_t layout[LAYOUT];
  const test_array *const arrays[] = {&out, &a, &b};
  const float *const memory = out.memory;
  float *const expected_first = expected + (out.first - memory);

  memcpy(expected, memory, sizeof(float) * (size_t)out.floats);
  for (ptrdiff_t i = 0; i < shape->count; i++)
    expected_first[test_offset(shape, &out, i)] =
        a.first[test_offset(shape, &a, i)] - b.first[test_offset(shape, &b, i)];
  test_layout(layout, shape, 3, arrays);
  th_binary(out.first, a.first, b.first, layout, TH_BINARY_SUB, TH_DTYPE_FLOAT32, 0);
  check_close(out.memory, expected, out.floats, 0, "binary, %td elements, kinds %d %d %d", shape->count, out_kind,
              a_kind, b_kind);

  for (ptrdiff_t i = 0; i < shape->count; i++)
    expected_first[test_offset(shape, &out, i)] = a.first[test_offset(shape, &a, i)];
  test_layout(layout, shape, 2, arrays);
  th_copy(out.first, a.first, layout);
  check_close(out.memory, expected, out.floats, 0, "copy, %td elements, kinds %d %d", shape->count, out_kind, a_kind);

  for (ptrdiff_t i = 0; i < shape->count; i++) {
    const float chosen = a.first[test_offset(shape, &a, i)], other = b.first[test_offset(shape, &b, i)];
    expected_first[test_offset(shape, &out, i)] = flags.first[test_offset(shape, &flags, i)] != 0 ? chosen : other;
  }
  test_layout(layout, shape, 4, (const test_array *const[]){&out, &flags, &a, &b});
  th_where(out.first, flags.first, a.first, b.first, layout, TH_DTYPE_FLOAT32);
  check_close(out.memory, expected, out.floats, 0, "where, %td elements, kinds %d %d %d", shape->count, out_kind,
              a_kind, b_kind);

  for (ptrdiff_t i = 0; i < shape->count; i++) expected_first[test_offset(shape, &out, i)] *= 3;
  test_layout(layout, shape, 2, (const test_array *const[]){&out, &out});
  th_unary(out.first, out.first, layout, TH_UNARY_MUL_SCALAR, TH_DTYPE_FLOAT32, 3);
  check_close(out.memory, expected, out.floats, 0, "unary in place, %td elements, kind %d", shape->count, out_kind);

  for (ptrdiff_t i = 0; i < shape->count; i++) expected_first[test_offset(shape, &out, i)] = 7.5f;
  test_layout(layout, shape, 1, arrays);
  th_fill(out.first, layout, 7.5, TH_DTYPE_FLOAT32);
  check_close(out.memory, expected, out.floats, 0, "fill, %td elements, kind %d", shape->count, out_kind);
  free(out.memory), free(a.memory), free(b.memory), free(flags.memory), free(expected);
}

TEST_SUITE(elementwise_layouts) {
  for (int s = 0; s < TEST_SHAPES; s++)
    for (test_kind out = CONTIGUOUS; out <= FLIPPED; out++)
      for (test_kind a = CONTIGUOUS; a < KINDS; a++)
        check_layout(&test_shapes[s], out, a, (test_kind)((a * 3 + out + s) % KINDS));
}

/* Outputs that are streamed past the caches: whole arrays in linear order, with operands that repeat every 7 elements, and band
   by band. Rows of 1021 elements begin anywhere in a cache line, so lines are stored in two parts. */
TEST_SUITE(elementwise_large) {
  static const test_shape line = {1, {4194341}, 4194341}, narrow = {2, {599479, 7}, 4196353};
  static const test_shape wide = {2, {4111, 1021}, 4197331}, deep = {3, {4, 1031, 1021}, 4210604};
  check_layout(&line, CONTIGUOUS, CONTIGUOUS, SCALAR);
  check_layout(&narrow, CONTIGUOUS, CONTIGUOUS, ROWS);
  check_layout(&wide, CONTIGUOUS, PERMUTED, BROADCAST);
  check_layout(&deep, CONTIGUOUS, SWAPPED, GAPS);

  const ptrdiff_t n = 4194304;
  float *const x = test_random(n, 4), *const out = test_floats(n + 64), *const expected = test_floats(n + 64);
  const int32_t layout[] = {1, (int32_t)n, 1, 1};
  for (ptrdiff_t first = 0; first < 20; first += 7) {
    for (ptrdiff_t i = 0; i < n + 64; i++) out[i] = 5, expected[i] = i < first || i >= first + n ? 5 : -x[i - first];
    th_unary(out + first, x, layout, TH_UNARY_NEG, TH_DTYPE_FLOAT32, 0);
    check_close(out, expected, n + 64, 0, "the output begins at float %td", first);
  }
  free(x), free(out), free(expected);
}

/* Targets a few bytes ahead of their source within a page are copied in pieces. */
TEST_SUITE(copy_ahead) {
  enum { N = 3001, PAGE = 1024 };
  float *const x = test_random(5 * PAGE + N, 5), *const out = test_nan(5 * PAGE + N);
  float *const expected = test_nan(5 * PAGE + N);
  const ptrdiff_t start = (ptrdiff_t)(((size_t)x - (size_t)out) % (PAGE * sizeof *x) / sizeof *x); /* as in x's page */
  for (ptrdiff_t ahead = 0; ahead <= 5; ahead++)
    for (int32_t n = 1; n <= N; n += 600) {
      for (ptrdiff_t i = 0; i < 5 * PAGE + N; i++) out[i] = expected[i] = 7;
      for (ptrdiff_t i = 0; i < n; i++) expected[start + ahead + i] = x[i];
      th_copy(out + start + ahead, x, (const int32_t[]){1, n, 1, 1});
      check_close(out, expected, 5 * PAGE + N, 0, "a copy of %d elements, %td ahead", n, ahead);
    }
  free(x), free(out), free(expected);
}
