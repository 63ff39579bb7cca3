/*
 * Sorted rows, and the first elements of sorted rows.
 *
 * Each element becomes a key: its bits, such that unsigned numbers are in its order, and below them its index. Keys are
 * distinct and have one order, which is a stable one. They are sorted byte by byte; the first few of many are kept in a
 * heap on the way instead. A row is one thread's.
 */
#include "parallel.h"
#include "simd.h"
#include "strided.h"

#include "../common/sort.h"

enum {
  FEW = 48,      /* keys: too few for the radix sort's counts to pay */
  DIGITS = 4,    /* bytes of an element; those of its index are in order already */
  BUCKETS = 256, /* values of a digit */
};
static const double GRAIN = 4096; /* elements worth a thread */

static void make_keys(uint64_t *keys, const th_word *x, ptrdiff_t n, int32_t descending, int32_t dtype) {
  const uint32_t flip = descending ? UINT32_MAX : 0;
  for (ptrdiff_t i = 0; i < n; i++) keys[i] = (uint64_t)(th_order_of(x[i], dtype) ^ flip) << 32 | (uint64_t)i;
}

static void insertion_sort(uint64_t *keys, ptrdiff_t n) {
  for (ptrdiff_t i = 1; i < n; i++) {
    const uint64_t key = keys[i];
    ptrdiff_t at = i;
    for (; at > 0 && keys[at - 1] > key; at--) keys[at] = keys[at - 1];
    keys[at] = key;
  }
}

/** Sorts keys whose low halves are in order. Returns where they are then: in keys or in other. */
static uint64_t *radix_sort(uint64_t *keys, uint64_t *other, ptrdiff_t n) {
  uint32_t counts[DIGITS][BUCKETS] = {{0}};
  for (ptrdiff_t i = 0; i < n; i++)
    for (int d = 0; d < DIGITS; d++) counts[d][keys[i] >> (32 + 8 * d) & 255]++;
  for (int d = 0; d < DIGITS; d++) {
    const int shift = 32 + 8 * d;
    uint32_t *at = counts[d], sum = 0;
    if (at[keys[0] >> shift & 255] == (uint32_t)n) continue; /* all in one bucket */
    for (int b = 0; b < BUCKETS; b++) {
      const uint32_t count = at[b];
      at[b] = sum;
      sum += count;
    }
    for (ptrdiff_t i = 0; i < n; i++) other[at[keys[i] >> shift & 255]++] = keys[i];
    uint64_t *const sorted = other;
    other = keys;
    keys = sorted;
  }
  return keys;
}

/** Moves the key at `at` of a heap, largest first, down to its place. */
static void sift_down(uint64_t *heap, ptrdiff_t at, ptrdiff_t n) {
  const uint64_t key = heap[at];
  for (ptrdiff_t child; (child = 2 * at + 1) < n; at = child) {
    if (child + 1 < n && heap[child + 1] > heap[child]) child++;
    if (heap[child] <= key) break;
    heap[at] = heap[child];
  }
  heap[at] = key;
}

/** Brings the smallest `count` keys to the front, in order. */
static void select_keys(uint64_t *keys, ptrdiff_t n, ptrdiff_t count) {
  for (ptrdiff_t i = count / 2 - 1; i >= 0; i--) sift_down(keys, i, count);
  for (ptrdiff_t i = count; i < n; i++) {
    if (keys[i] > keys[0]) continue;
    keys[0] = keys[i];
    sift_down(keys, 0, count);
  }
  for (ptrdiff_t end = count - 1; end > 0; end--) { /* heap sort */
    const uint64_t largest = keys[0];
    keys[0] = keys[end];
    keys[end] = largest;
    sift_down(keys, 0, end);
  }
}

static void sort_row(th_word *values, int32_t *indices, const th_word *x, uint64_t *keys, ptrdiff_t n, ptrdiff_t count,
                     int32_t descending, int32_t dtype) {
  make_keys(keys, x, n, descending, dtype);
  if (n <= FEW) insertion_sort(keys, n);
  else if (count <= n / 8) select_keys(keys, n, count);
  else keys = radix_sort(keys, keys + n, n);
  for (ptrdiff_t i = 0; i < count; i++) {
    indices[i] = (int32_t)(uint32_t)keys[i];
    values[i] = x[indices[i]];
  }
}

int32_t th_sort(void *values, int32_t *indices, const void *in, int32_t rows, int32_t cols, int32_t count,
                int32_t descending, int32_t dtype) {
  const ptrdiff_t n = cols, k = count;
  if (rows == 0 || k == 0) return TH_STATUS_OK;
  const int parts = (int)th_min(rows, th_threads_for((double)rows * (double)n, GRAIN));
  uint64_t *keys = th_scratch(5, (size_t)(parts * 2 * n) * sizeof *keys);
  if (!keys) return th_fail(TH_STATUS_OUT_OF_MEMORY, "sort: no memory for %td keys", parts * 2 * n);
  TH_PARALLEL_FOR(parts, part, parts, {
    for (ptrdiff_t r = th_split(rows, part, parts); r < th_split(rows, part + 1, parts); r++)
      sort_row((th_word *)values + r * k, indices + r * k, (const th_word *)in + r * n, keys + part * 2 * n, n, k,
               descending, dtype);
  });
  return TH_STATUS_OK;
}
