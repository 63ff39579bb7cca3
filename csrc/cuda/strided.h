/*
 * Layouts as kernels take them: by value, with divisors prepared so that an element's index becomes its offsets without
 * a division.
 */
#ifndef TH_CUDA_STRIDED_H
#define TH_CUDA_STRIDED_H

#include "../common/layout.h"
#include "device.h"

/** Division by a constant of numbers below 2^31: q = (mulhi(n, multiplier) + n) >> shift (Granlund and Montgomery, 1994). */
struct th_divisor {
  uint32_t value, multiplier, shift;
};

/** By zero, which nothing is divided by since there are no elements, gives that by one. */
static inline th_divisor th_make_divisor(uint32_t value) {
  if (value == 0) value = 1;
  th_divisor d = {value, 0, 0};
  while (d.shift < 31 && (1u << d.shift) < value) d.shift++;
  d.multiplier = (uint32_t)((((uint64_t)1 << 32) * (((uint64_t)1 << d.shift) - value)) / value + 1);
  return d;
}

TH_DEVICE uint32_t th_divide(uint32_t n, const th_divisor &d) {
  return (uint32_t)(((uint64_t)__umulhi(n, d.multiplier) + n) >> d.shift);
}

/** Axes of one shape, with the strides of some operands. */
template <int OPERANDS> struct th_axes {
  int ndim;
  uint32_t count;
  th_divisor shape[TH_MAX_NDIM];
  int32_t stride[OPERANDS][TH_MAX_NDIM];
};

template <int OPERANDS> th_axes<OPERANDS> th_make_axes(const th_layout &layout) {
  th_axes<OPERANDS> axes = {};
  axes.ndim = layout.ndim;
  axes.count = (uint32_t)layout.count;
  for (int i = 0; i < layout.ndim && layout.count > 0; i++) {
    axes.shape[i] = th_make_divisor((uint32_t)layout.shape[i]);
    for (int k = 0; k < OPERANDS; k++) axes.stride[k][i] = (int32_t)layout.stride[k][i];
  }
  return axes;
}

/** Offsets of the element with linear index `index`, one for each operand. */
template <int OPERANDS>
TH_DEVICE void th_offsets(const th_axes<OPERANDS> &axes, uint32_t index, int32_t (&offset)[OPERANDS]) {
#pragma unroll
  for (int k = 0; k < OPERANDS; k++) offset[k] = 0;
  for (int axis = axes.ndim - 1; axis >= 0; axis--) {
    const uint32_t rest = axis > 0 ? th_divide(index, axes.shape[axis]) : 0;
    const int32_t at = (int32_t)(index - rest * axes.shape[axis].value);
#pragma unroll
    for (int k = 0; k < OPERANDS; k++) offset[k] += at * axes.stride[k][axis];
    index = rest;
  }
}

/** All axes of the ABI's layout array. Elements may be visited in any order, so in the order of the output's memory. */
static inline th_layout th_elements_of(const int32_t *layout, int operands) {
  th_layout l = th_read_layout(layout, operands, 0, layout[0]);
  th_sort_axes(&l, operands);
  return l;
}

#endif
