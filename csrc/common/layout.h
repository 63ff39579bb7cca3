/*
 * Layouts as kernels want them: few axes, each as long as can be.
 *
 * A caller describes arrays by their logical shape; a kernel cares only about how memory is walked. Reading a layout
 * drops axes of size 1 and merges an axis with the one inside it where every operand steps over both with one stride,
 * so whole contiguous arrays become a single axis, whatever their shape.
 */
#ifndef TH_LAYOUT_H
#define TH_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "../thimble.h"

enum { TH_MAX_OPERANDS = 3 };

typedef struct {
  int ndim;        /* 0 for a single element */
  ptrdiff_t count; /* product of shape */
  ptrdiff_t shape[TH_MAX_NDIM];
  ptrdiff_t stride[TH_MAX_OPERANDS][TH_MAX_NDIM]; /* in elements */
} th_layout;

/** Axes first … last - 1 of the ABI's layout array, for its first `operands` operands. */
static inline th_layout th_read_layout(const int32_t *layout, int operands, int first, int last) {
  const int axes = layout[0];
  const int32_t *shape = layout + 1, *strides = shape + axes;
  th_layout result = {.ndim = 0, .count = 1};
  for (int axis = first; axis < last; axis++) {
    const ptrdiff_t size = shape[axis];
    result.count *= size;
    if (size == 1) continue;
    const int outer = result.ndim - 1;
    int merges = outer >= 0;
    for (int k = 0; k < operands && merges; k++) merges = result.stride[k][outer] == strides[k * axes + axis] * size;
    const int into = merges ? outer : result.ndim++;
    result.shape[into] = merges ? result.shape[into] * size : size;
    for (int k = 0; k < operands; k++) result.stride[k][into] = strides[k * axes + axis];
  }
  return result;
}

/** Whether operand `k` is contiguous in the order of the axes. */
static inline int th_is_contiguous(const th_layout *layout, int k) {
  ptrdiff_t expected = 1;
  for (int axis = layout->ndim - 1; axis >= 0; axis--) {
    if (layout->stride[k][axis] != expected) return 0;
    expected *= layout->shape[axis];
  }
  return 1;
}

/** Offset of the element with linear index `index` in operand `k`. */
static inline ptrdiff_t th_offset(const th_layout *layout, int k, ptrdiff_t index) {
  ptrdiff_t offset = 0;
  for (int axis = layout->ndim - 1; axis >= 0; axis--) {
    offset += index % layout->shape[axis] * layout->stride[k][axis];
    index /= layout->shape[axis];
  }
  return offset;
}

#endif
