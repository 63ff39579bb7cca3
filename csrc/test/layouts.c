/* Strides for the kinds of layout in layouts.h; a kind is an order of the axes, a gap, a sign, or axes left out. */
#include "layouts.h"

#include <stdlib.h>

const test_shape test_shapes[TEST_SHAPES] = {
    {0, {0}, 1},
    {1, {1}, 1},
    {1, {0}, 0},
    {3, {3, 0, 2}, 0},
    {1, {5}, 5},
    {2, {1, 1}, 1},
    {2, {7, 5}, 35},
    {2, {600, 1}, 600},
    {2, {1, 513}, 513},
    {2, {33, 16}, 528},
    {2, {3, 1025}, 3075},
    {3, {4, 19, 33}, 2508},
    {4, {1, 3, 1, 7}, 21},
    {5, {2, 3, 4, 5, 6}, 720},
    {5, {3, 8, 1, 5, 64}, 7680},
    {4, {9, 3, 17, 31}, 14229},
    {3, {3, 37, 130}, 14430},
    {4, {2, 35, 3, 64}, 13440},
    {6, {2, 2, 2, 2, 2, 2}, 64},
    {2, {301, 257}, 77357},
    {1, {70001}, 70001},
};

/** Sets the strides of a contiguous array whose axes lie in memory in the given order, outermost first. */
static ptrdiff_t pack(test_array *a, const test_shape *shape, const int order[], int gap) {
  ptrdiff_t step = gap;
  for (int i = shape->ndim - 1; i >= 0; i--) {
    a->stride[order[i]] = (int)step;
    step *= shape->shape[order[i]];
  }
  return step;
}

static int is_kept(int axis, int ndim, test_kind kind) {
  return kind == BROADCAST ? axis % 2 == 1 : kind == ROWS ? axis == ndim - 1 : kind != SCALAR;
}

test_array test_strided(const test_shape *shape, test_kind kind, uint64_t seed) {
  test_array a = {0};
  const int ndim = shape->ndim;
  int order[16];
  for (int i = 0; i < ndim; i++) order[i] = kind == PERMUTED ? ndim - 1 - i : i;
  if (kind == SWAPPED && ndim >= 2) order[ndim - 1] = ndim - 2, order[ndim - 2] = ndim - 1;

  test_shape stored = *shape; /* without the axes that are broadcast */
  for (int i = 0; i < ndim; i++)
    if (!is_kept(i, ndim, kind)) stored.shape[i] = 1;
  pack(&a, &stored, order, kind == GAPS ? 2 : 1);

  ptrdiff_t lowest = 0, highest = 0;
  for (int i = 0; i < ndim; i++) {
    if (!is_kept(i, ndim, kind)) a.stride[i] = 0;
    if (kind == FLIPPED) a.stride[i] = -a.stride[i];
    const ptrdiff_t reach = shape->shape[i] ? (ptrdiff_t)a.stride[i] * (shape->shape[i] - 1) : 0;
    if (reach < 0) lowest += reach;
    else highest += reach;
  }
  a.floats = shape->count ? highest - lowest + 1 : 0;
  a.memory = test_random(a.floats, seed);
  a.first = a.memory - lowest;
  return a;
}

ptrdiff_t test_offset(const test_shape *shape, const test_array *array, ptrdiff_t index) {
  ptrdiff_t offset = 0;
  for (int axis = shape->ndim - 1; axis >= 0; axis--) {
    offset += index % shape->shape[axis] * array->stride[axis];
    index /= shape->shape[axis];
  }
  return offset;
}

void test_layout(int32_t layout[], const test_shape *shape, int operands, const test_array *const arrays[]) {
  *layout++ = shape->ndim;
  for (int i = 0; i < shape->ndim; i++) *layout++ = shape->shape[i];
  for (int k = 0; k < operands; k++)
    for (int i = 0; i < shape->ndim; i++) *layout++ = arrays[k]->stride[i];
}
