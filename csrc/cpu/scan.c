/*
 * The index of the maximum, whose answer depends on the logical order of elements, and reductions of int32, which no
 * model spends time on: one plain loop each, over any strides.
 */
#include "scan.h"

#include "parallel.h"
#include "rows.h"
#include "strided.h"

static const double GRAIN = 8192; /* elements worth a thread */

/** Running result over the elements of one output. */
typedef struct {
  uint32_t sum; /* wraps */
  int32_t max;
  float best; /* of a float maximum */
  ptrdiff_t index;
} state;

TH_INLINE void scan_floats(state *s, const float *x, ptrdiff_t n, ptrdiff_t stride, ptrdiff_t start) {
  if (stride == 1) { /* the maximum at vector speed first: most rows cannot change the result */
    const float max = th_row_max(x, n);
    if (s->best != s->best || (start > 0 && max <= s->best)) return;
    ptrdiff_t i = 0;
    while (max == max ? x[i] != max : x[i] == x[i]) i++;
    s->best = max;
    s->index = start + i;
    return;
  }
  for (ptrdiff_t i = 0; i < n; i++) {
    const float v = x[i * stride];
    if (start + i > 0 && s->best == s->best && !(v > s->best) && v == v) continue;
    if (start + i > 0 && s->best != s->best) return;
    s->best = v;
    s->index = start + i;
  }
}

TH_INLINE void scan_ints(state *s, const int32_t *x, ptrdiff_t n, ptrdiff_t stride, ptrdiff_t start) {
  for (ptrdiff_t i = 0; i < n; i++) {
    const int32_t v = x[i * stride];
    s->sum += (uint32_t)v;
    if (v > s->max) s->index = start + i;
    s->max = v > s->max ? v : s->max;
  }
}

static int32_t scan_one(const th_layout *reduced, const void *in, ptrdiff_t offset, int32_t op, int32_t dtype) {
  state s = {.max = INT32_MIN};
  const int inner = reduced->ndim - 1;
  const ptrdiff_t n = inner < 0 ? reduced->count : reduced->shape[inner],
                  stride = inner < 0 ? 1 : reduced->stride[0][inner];
  for (ptrdiff_t start = 0; start < reduced->count; start += n) {
    const ptrdiff_t at = offset + th_offset(reduced, 0, start);
    if (dtype == TH_DTYPE_FLOAT32) scan_floats(&s, (const float *)in + at, n, stride, start);
    else scan_ints(&s, (const int32_t *)in + at, n, stride, start);
  }
  return op == TH_REDUCE_ARG_MAX ? (int32_t)s.index : op == TH_REDUCE_MAX ? s.max : (int32_t)s.sum;
}

void th_scan(void *out, const void *in, const int32_t *layout, int32_t reduced, int32_t op, int32_t dtype) {
  const int kept = layout[0] - reduced;
  const th_layout outer = th_read_layout(layout, 1, 0, kept), inner = th_read_layout(layout, 1, kept, layout[0]);
  int32_t *result = out;
  const int parts = th_threads_for((double)outer.count * (double)inner.count, GRAIN);
  TH_PARALLEL_FOR(parts, i, outer.count, { result[i] = scan_one(&inner, in, th_offset(&outer, 0, i), op, dtype); });
}
