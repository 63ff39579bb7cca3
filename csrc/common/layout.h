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
#include <stdlib.h>

#include "../thimble.h"

enum { TH_MAX_OPERANDS = 4 };

typedef struct {
  int ndim;        /* 0 for a single element */
  ptrdiff_t count; /* product of shape */
  ptrdiff_t shape[TH_MAX_NDIM];
  ptrdiff_t stride[TH_MAX_OPERANDS][TH_MAX_NDIM]; /* in elements */
} th_layout;

/** Appends an axis of `size` elements with the given stride for each operand, merging it where it can be. */
static inline void th_add_axis(th_layout *layout, int operands, ptrdiff_t size, const ptrdiff_t strides[]) {
  layout->count *= size;
  if (size == 1) return;
  const int outer = layout->ndim - 1;
  int merges = outer >= 0;
  for (int k = 0; k < operands && merges; k++) merges = layout->stride[k][outer] == strides[k] * size;
  const int into = merges ? outer : layout->ndim++;
  layout->shape[into] = merges ? layout->shape[into] * size : size;
  for (int k = 0; k < operands; k++) layout->stride[k][into] = strides[k];
}

/** Axes first … last - 1 of the ABI's layout array, for its first `operands` operands. */
static inline th_layout th_read_layout(const int32_t *layout, int operands, int first, int last) {
  const int axes = layout[0];
  const int32_t *shape = layout + 1, *strides = shape + axes;
  th_layout result = {.ndim = 0, .count = 1};
  for (int axis = first; axis < last; axis++) {
    ptrdiff_t of_axis[TH_MAX_OPERANDS] = {0};
    for (int k = 0; k < operands; k++) of_axis[k] = strides[k * axes + axis];
    th_add_axis(&result, operands, shape[axis], of_axis);
  }
  return result;
}

static inline void th_remove_axis(th_layout *layout, int axis) {
  layout->count /= layout->shape[axis];
  layout->ndim--;
  for (int i = axis; i < layout->ndim; i++) {
    layout->shape[i] = layout->shape[i + 1];
    for (int k = 0; k < TH_MAX_OPERANDS; k++) layout->stride[k][i] = layout->stride[k][i + 1];
  }
}

/** Reorders the axes so that operand 0 is walked through memory forwards, and merges again: for work that may visit its
    elements in any order. */
static inline void th_sort_axes(th_layout *layout, int operands) {
  if (layout->ndim < 2) return;
  const th_layout old = *layout;
  int order[TH_MAX_NDIM];
  for (int axis = 0; axis < old.ndim; axis++) {
    int at = axis; /* insertion sort by decreasing stride */
    while (at > 0 && llabs(old.stride[0][order[at - 1]]) < llabs(old.stride[0][axis])) order[at] = order[at - 1], at--;
    order[at] = axis;
  }
  layout->ndim = 0;
  layout->count = 1;
  for (int i = 0; i < old.ndim; i++) {
    ptrdiff_t strides[TH_MAX_OPERANDS];
    for (int k = 0; k < TH_MAX_OPERANDS; k++) strides[k] = old.stride[k][order[i]];
    th_add_axis(layout, operands, old.shape[order[i]], strides);
  }
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

/** Gives operand `k` the strides of a contiguous array. */
static inline void th_set_contiguous(th_layout *layout, int k) {
  ptrdiff_t stride = 1;
  for (int axis = layout->ndim - 1; axis >= 0; axis--) {
    layout->stride[k][axis] = stride;
    stride *= layout->shape[axis];
  }
}

/** An axis, of at least two elements, along which operand `k` is contiguous; -1 if there is none. */
static inline int th_contiguous_axis(const th_layout *layout, int k) {
  for (int axis = 0; axis < layout->ndim; axis++)
    if (layout->stride[k][axis] == 1) return axis;
  return -1;
}

/** Offset of the element with linear index `index` in operand `k`. */
static inline ptrdiff_t th_offset(const th_layout *layout, int k, ptrdiff_t index) {
  if (layout->ndim == 0) return 0;
  ptrdiff_t offset = 0;
  for (int axis = layout->ndim - 1; axis > 0; axis--) {
    offset += index % layout->shape[axis] * layout->stride[k][axis];
    index /= layout->shape[axis];
  }
  return offset + index * layout->stride[k][0];
}

#endif
