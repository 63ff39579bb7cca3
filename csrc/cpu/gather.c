/*
 * Elements along one axis by index, and sums by index, which are its gradient.
 *
 * Sums are made without atomics: threads share the places of the outermost axis where that is not the indexed one, else
 * the elements of the indexed axis, and each adds in the order of the indices. The result is the same with any number of
 * threads.
 */
#include "parallel.h"
#include "simd.h"
#include "strided.h"

static const double GRAIN = 16384; /* elements worth a thread */

/** Runs { … } for each i from … to - 1, with `at` the offset of its place in the array that is indexed. */
#define FOR_PLACES(l, i, at, from, to, ...)                                                                            \
  do {                                                                                                                 \
    const int inner = (l)->ndim - 1;                                                                                   \
    const ptrdiff_t n = inner < 0 ? 1 : (l)->shape[inner], step = inner < 0 ? 0 : (l)->stride[0][inner];               \
    for (ptrdiff_t start = from, length; start < (to); start += length) {                                              \
      length = th_min(n - start % n, (to)-start);                                                                      \
      ptrdiff_t at = th_offset(l, 0, start);                                                                           \
      for (ptrdiff_t i = start; i < start + length; i++, at += step) __VA_ARGS__                                       \
    }                                                                                                                  \
  } while (0)

/** Whether all of n indices are in [0, size): a vector at a time, since almost always they are. */
static int are_inside(const int32_t *ids, ptrdiff_t n, int32_t size) {
  int32_t outside = 0;
#pragma omp simd reduction(| : outside)
  for (ptrdiff_t i = 0; i < n; i++) outside |= (ids[i] < 0) | (ids[i] >= size);
  return !outside;
}

int32_t th_gather(void *out, const void *in, const int32_t *ids, const int32_t *layout, int32_t size, int32_t stride) {
  const th_layout l = th_read_layout(layout, 1, 0, layout[0]);
  const ptrdiff_t apart = stride;
  const th_word *from = in;
  th_word *to = out;
  if (!are_inside(ids, l.count, size)) {
    ptrdiff_t i = 0;
    while (ids[i] >= 0 && ids[i] < size) i++;
    return th_fail(TH_STATUS_INDEX, "index %d at position %td is outside the axis of %d elements", ids[i], i, size);
  }
  const int parts = th_threads_for((double)l.count, GRAIN);
  TH_PARALLEL_FOR(parts, part, parts, {
    FOR_PLACES(&l, i, at, th_split(l.count, part, parts), th_split(l.count, part + 1, parts),
               { to[i] = from[at + ids[i] * apart]; });
  });
  return TH_STATUS_OK;
}

/** Adds elements from … to - 1 whose index is in first … last - 1. */
static void add_elements(float *out, const float *in, const int32_t *ids, const th_layout *l, ptrdiff_t apart,
                         ptrdiff_t from, ptrdiff_t to, ptrdiff_t first, ptrdiff_t last) {
  FOR_PLACES(l, i, at, from, to, {
    if (ids[i] >= first && ids[i] < last) out[at + ids[i] * apart] += in[i];
  });
}

int32_t th_scatter_add(float *out, const float *in, const int32_t *ids, const int32_t *layout, int32_t size,
                       int32_t stride) {
  const th_layout l = th_read_layout(layout, 1, 0, layout[0]);
  if (l.count == 0) return TH_STATUS_OK;
  const int parts = th_threads_for((double)l.count, GRAIN);
  const int by_places = l.ndim > 0 && l.stride[0][0] != 0 && l.shape[0] >= parts;
  const ptrdiff_t places = by_places ? l.shape[0] : 1, each = l.count / places;
  TH_PARALLEL_FOR(parts, part, parts, {
    if (by_places)
      add_elements(out, in, ids, &l, stride, th_split(places, part, parts) * each,
                   th_split(places, part + 1, parts) * each, 0, size);
    else
      add_elements(out, in, ids, &l, stride, 0, l.count, th_split(size, part, parts), th_split(size, part + 1, parts));
  });
  return TH_STATUS_OK;
}
