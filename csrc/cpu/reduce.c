/* thin */
#include "strided.h"
#include <math.h>
int32_t th_reduce(void *out, const void *in, const int32_t *layout, int32_t reduced, int32_t op, int32_t dtype, double scale) {
  const int kept = layout[0] - reduced;
  const th_layout k = th_read_layout(layout, 1, 0, kept), r = th_read_layout(layout, 1, kept, layout[0]);
  for (ptrdiff_t i = 0; i < k.count; i++) {
    const ptrdiff_t base = th_offset(&k, 0, i);
    double sum = 0, max = -INFINITY;
    uint32_t isum = 0; int32_t imax = INT32_MIN; ptrdiff_t arg = 0;
    for (ptrdiff_t j = 0; j < r.count; j++) {
      const ptrdiff_t at = base + th_offset(&r, 0, j);
      if (dtype == TH_DTYPE_INT32) { const int32_t x = ((const int32_t *)in)[at]; isum += (uint32_t)x; if (j == 0 || x > imax) { imax = x; arg = j; } }
      else { const float x = ((const float *)in)[at]; sum += x; if (j == 0 || x > max || (x != x && max == max)) { max = x; arg = j; } }
    }
    if (op == TH_REDUCE_LOG_SUM_EXP) { sum = 0; for (ptrdiff_t j = 0; j < r.count; j++) sum += exp(((const float *)in)[base + th_offset(&r, 0, j)] - max); sum = isinf(max) ? max : max + log(sum); }
    if (op == TH_REDUCE_ARG_MAX) ((int32_t *)out)[i] = (int32_t)arg;
    else if (dtype == TH_DTYPE_INT32) ((int32_t *)out)[i] = op == TH_REDUCE_MAX ? imax : (int32_t)isum;
    else ((float *)out)[i] = (float)(op == TH_REDUCE_MAX ? max : op == TH_REDUCE_SUM ? sum * scale : sum);
  }
  return TH_STATUS_OK;
}
