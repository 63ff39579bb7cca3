/* The order of elements that are sorted, as the order of unsigned numbers: so keys are compared, not floats. */
#ifndef TH_COMMON_SORT_H
#define TH_COMMON_SORT_H

#include "../thimble.h"
#include "vmath.h"

/** In the order of the elements; NaN is the largest, and zero has one sign. */
TH_VMATH uint32_t th_order_of(uint32_t bits, int32_t dtype) {
  const uint32_t sign = 0x80000000u;
  if (dtype == TH_DTYPE_INT32) return bits ^ sign;
  if (bits << 1 > 0xff000000u) return UINT32_MAX;
  if (bits == sign) bits = 0;
  return bits & sign ? ~bits : bits | sign;
}

#endif
