/*
 * Integers and indices from 64 random bits, the same on every device.
 *
 * The weights of a row are the leaves of a binary tree in which every other node is the sum of the two below it (Wong and
 * Easton, "An efficient method for weighted sampling without replacement", 1980): a draw walks down, and to take a leaf out
 * changes the sums above it alone. The nodes below node i are 2i and 2i + 1, the root is 1, the leaves are n … 2n - 1; so the
 * sums, in double precision, do not depend on who makes them.
 */
#ifndef TH_COMMON_DRAW_H
#define TH_COMMON_DRAW_H

#include <stdint.h>

#include "vmath.h"

/** The number of a leaf with probability in proportion to its weight; never one without any. */
TH_VMATH int32_t th_draw_leaf(const double *tree, uint32_t n, uint64_t random) {
  double left = (double)(random >> 11) * 0x1p-53 * tree[1];
  uint32_t at = 1;
  while (at < n) {
    at *= 2;
    if (left < tree[at] || tree[at + 1] == 0) continue; /* rounding may have left more than there is on the right */
    left -= tree[at++];
  }
  return (int32_t)(at - n);
}

TH_VMATH void th_take_leaf(double *tree, uint32_t n, int32_t leaf) {
  uint32_t at = n + (uint32_t)leaf;
  tree[at] = 0;
  while (at /= 2) tree[at] = tree[2 * at] + tree[2 * at + 1];
}

/** 64 bits scaled to low … low + range - 1, of a range of at most 2^32: the bias is below 2^-32. */
TH_VMATH int32_t th_draw_int(uint64_t random, int32_t low, uint64_t range) {
  const uint64_t scaled = (random >> 32) * range + ((random & UINT32_MAX) * range >> 32);
  return (int32_t)(low + (int64_t)(scaled >> 32));
}

#endif
