/*
 * Running sums along an axis. A line is summed by one thread, in double precision; several lines are taken together, since
 * an addition waits for the one before it: those beside each other in memory where the axis itself is not contiguous.
 */
#include "parallel.h"
#include "simd.h"
#include "strided.h"

enum {
  COLUMNS = 256, /* lines beside each other in memory: their sums, 2 KB, stay in the L1 cache */
  ROWS = 8,      /* lines that are each contiguous: their sums stay in registers */
};
static const double GRAIN = 16384; /* elements worth a thread */

/** Strides of out and in, from element to element of a line and from line to line. */
typedef struct {
  ptrdiff_t along[2], across[2];
} steps;

/** m ≤ COLUMNS lines of n elements of type T, added up as a `total`. */
#define DEFINE_SUM_LINES(name, T, total)                                                                               \
  TH_INLINE void name(T *restrict out, const T *restrict in, ptrdiff_t n, ptrdiff_t m, steps s) {                      \
    total sums[COLUMNS];                                                                                               \
    for (ptrdiff_t j = 0; j < m; j++) sums[j] = 0;                                                                     \
    for (ptrdiff_t i = 0; i < n; i++, out += s.along[0], in += s.along[1])                                             \
      _Pragma("omp simd") for (ptrdiff_t j = 0; j < m; j++) {                                                          \
        sums[j] += (total)in[j * s.across[1]];                                                                         \
        out[j * s.across[0]] = (T)sums[j];                                                                             \
      }                                                                                                                \
  }                                                                                                                    \
  TH_INLINE void name##_of_one(T *restrict out, const T *restrict in, ptrdiff_t n, steps s) {                          \
    total sum = 0;                                                                                                     \
    for (ptrdiff_t i = 0; i < n; i++) out[i * s.along[0]] = (T)(sum += (total)in[i * s.along[1]]);                     \
  }
DEFINE_SUM_LINES(sum_floats, float, double)
DEFINE_SUM_LINES(sum_ints, uint32_t, uint32_t) /* wraps */

static void sum_lines(th_word *out, const th_word *in, ptrdiff_t n, ptrdiff_t m, steps s, int32_t dtype) {
  if (dtype == TH_DTYPE_INT32) {
    if (m == 1) sum_ints_of_one(out, in, n, s);
    else sum_ints(out, in, n, m, s);
    return;
  }
  float *to = (float *)out;
  const float *from = (const float *)in;
  if (m == 1) sum_floats_of_one(to, from, n, s);
  else if (s.across[0] == 1 && s.across[1] == 1) sum_floats(to, from, n, m, (steps){{s.along[0], s.along[1]}, {1, 1}});
  else if (m == ROWS) sum_floats(to, from, n, ROWS, s); /* sums in registers */
  else sum_floats(to, from, n, m, s);
}

int32_t th_cum_sum(void *out, const void *in, const int32_t *layout, int32_t dtype) {
  const int ndim = layout[0], axis = ndim - 1;
  const int32_t *strides = layout + 1 + ndim;
  const ptrdiff_t n = layout[1 + axis];
  th_layout lines = th_read_layout(layout, 2, 0, axis);
  if (lines.count == 0 || n == 0) return TH_STATUS_OK;
  th_sort_axes(&lines, 2);
  steps s = {.along = {strides[axis], strides[ndim + axis]}};
  ptrdiff_t beside = 1; /* lines along the innermost axis */
  if (lines.ndim > 0) {
    const int inner = lines.ndim - 1;
    beside = lines.shape[inner];
    for (int k = 0; k < 2; k++) s.across[k] = lines.stride[k][inner];
    th_remove_axis(&lines, inner);
  }
  const int parts = th_threads_for((double)lines.count * (double)beside * (double)n, GRAIN);
  const ptrdiff_t most = llabs(s.along[0]) < llabs(s.across[0]) ? ROWS : COLUMNS;
  const ptrdiff_t width = th_min(most, th_ceil_div(beside, parts)), blocks = th_ceil_div(beside, width);
  TH_PARALLEL_FOR(parts, task, lines.count * blocks, {
    const ptrdiff_t line = task % blocks * width, place = task / blocks;
    sum_lines((th_word *)out + th_offset(&lines, 0, place) + line * s.across[0],
              (const th_word *)in + th_offset(&lines, 1, place) + line * s.across[1], n, th_min(width, beside - line),
              s, dtype);
  });
  return TH_STATUS_OK;
}
