/*
 * The index of the maximum or minimum, whose answer depends on the logical order of elements, and reductions of int32, which no
 * model spends time on: one plain loop each, over any strides. Only the maxima of columns side by side (the class of every
 * pixel of a map) are found a vector at a time.
 *
 * A minimum is the maximum of the elements in reverse order: of -x, and for int32 of ~x, which does not overflow.
 */
#include "scan.h"

#include "parallel.h"
#include "rows.h"
#include "strided.h"

enum { COLUMNS = 256 };           /* side by side: their best elements and indices, 2 KB, stay in the L1 cache */
static const double GRAIN = 8192; /* elements worth a thread */

TH_INLINE int is_least(int32_t op) { return op == TH_REDUCE_MIN || op == TH_REDUCE_ARG_MIN; }

/* ------------------------------------------------------------------------------------------------ columns */

/** The index of the maximum of sign · x of each of n ≤ COLUMNS adjacent columns. The first NaN is greater than all numbers. */
static void scan_columns(int32_t *restrict index, const float *x, ptrdiff_t n, const th_layout *reduced, float sign) {
  const int inner = reduced->ndim - 1;
  const ptrdiff_t rows = inner < 0 ? 1 : reduced->shape[inner], stride = inner < 0 ? 0 : reduced->stride[0][inner];
  float best[COLUMNS];
  for (ptrdiff_t j = 0; j < n; j++) best[j] = sign * x[j];
  memset(index, 0, (size_t)n * sizeof *index);
  for (ptrdiff_t start = 0; start < reduced->count; start += rows) {
    const float *row = x + th_offset(reduced, 0, start);
    for (ptrdiff_t i = 0; i < rows; i++, row += stride) {
#pragma omp simd
      for (ptrdiff_t j = 0; j < n; j++) {
        const float v = sign * row[j];
        const int better = (v > best[j]) | ((v != v) & (best[j] == best[j]));
        best[j] = better ? v : best[j];
        index[j] = better ? (int32_t)(start + i) : index[j];
      }
    }
  }
}

/** Outputs whose elements are columns along the kept `axis`. */
static void arg_columns(int32_t *out, const float *in, th_layout kept, const th_layout *reduced, int axis, float sign,
                        ptrdiff_t parts) {
  th_set_contiguous(&kept, 1);
  const ptrdiff_t columns = kept.shape[axis], step = kept.stride[1][axis];
  const ptrdiff_t width = th_min(COLUMNS, th_ceil_div(columns, parts)), blocks = th_ceil_div(columns, width);
  th_remove_axis(&kept, axis);
  TH_PARALLEL_FOR(parts, task, kept.count * blocks, {
    const ptrdiff_t column = task % blocks * width, n = th_min(width, columns - column);
    int32_t index[COLUMNS];
    int32_t *const at = out + th_offset(&kept, 1, task / blocks) + column * step;
    scan_columns(index, in + th_offset(&kept, 0, task / blocks) + column, n, reduced, sign);
    for (ptrdiff_t j = 0; j < n; j++) at[j * step] = index[j];
  });
}

/* ---------------------------------------------------------------------------------------------- one by one */

/** Running result over the elements of one output. */
typedef struct {
  uint32_t sum; /* wraps */
  int32_t max;
  float best; /* of a float maximum or minimum, times sign */
  ptrdiff_t index;
} state;

TH_INLINE void scan_floats(state *s, const float *x, ptrdiff_t n, ptrdiff_t stride, ptrdiff_t start, float sign) {
  if (stride == 1) { /* the maximum at vector speed first: most rows cannot change the result */
    const float max = sign < 0 ? -th_row_min(x, n) : th_row_max(x, n);
    if (s->best != s->best || (start > 0 && max <= s->best)) return;
    ptrdiff_t i = 0;
    while (max == max ? sign * x[i] != max : x[i] == x[i]) i++;
    s->best = max;
    s->index = start + i;
    return;
  }
  for (ptrdiff_t i = 0; i < n; i++) {
    const float v = sign * x[i * stride];
    if (start + i > 0 && s->best == s->best && !(v > s->best) && v == v) continue;
    if (start + i > 0 && s->best != s->best) return;
    s->best = v;
    s->index = start + i;
  }
}

TH_INLINE void scan_ints(state *s, const int32_t *x, ptrdiff_t n, ptrdiff_t stride, ptrdiff_t start, int32_t flip) {
  for (ptrdiff_t i = 0; i < n; i++) {
    const int32_t v = x[i * stride] ^ flip;
    s->sum += (uint32_t)v;
    if (v > s->max) s->index = start + i;
    s->max = v > s->max ? v : s->max;
  }
}

static int32_t scan_one(const th_layout *reduced, const void *in, ptrdiff_t offset, int32_t op, int32_t dtype) {
  const int least = is_least(op);
  state s = {.max = INT32_MIN};
  const int inner = reduced->ndim - 1;
  const ptrdiff_t n = inner < 0 ? reduced->count : reduced->shape[inner],
                  stride = inner < 0 ? 1 : reduced->stride[0][inner];
  for (ptrdiff_t start = 0; start < reduced->count; start += n) {
    const ptrdiff_t at = offset + th_offset(reduced, 0, start);
    if (dtype == TH_DTYPE_FLOAT32) scan_floats(&s, (const float *)in + at, n, stride, start, least ? -1 : 1);
    else scan_ints(&s, (const int32_t *)in + at, n, stride, start, -least);
  }
  if (op == TH_REDUCE_SUM) return (int32_t)s.sum;
  return op == TH_REDUCE_MAX ? s.max : op == TH_REDUCE_MIN ? ~s.max : (int32_t)s.index;
}

void th_scan(void *out, const void *in, const int32_t *layout, int32_t reduced, int32_t op, int32_t dtype) {
  const int kept = layout[0] - reduced;
  const th_layout outer = th_read_layout(layout, 1, 0, kept), inner = th_read_layout(layout, 1, kept, layout[0]);
  int32_t *result = out;
  if (outer.count == 0) return;
  const int parts = th_threads_for((double)outer.count * (double)inner.count, GRAIN);
  const int columns = th_contiguous_axis(&outer, 0);
  const int in_rows = inner.ndim > 0 && inner.stride[0][inner.ndim - 1] == 1;
  if (dtype == TH_DTYPE_FLOAT32 && columns >= 0 && !in_rows) {
    arg_columns(result, in, outer, &inner, columns, is_least(op) ? -1 : 1, parts);
    return;
  }
  TH_PARALLEL_FOR(parts, i, outer.count, { result[i] = scan_one(&inner, in, th_offset(&outer, 0, i), op, dtype); });
}
