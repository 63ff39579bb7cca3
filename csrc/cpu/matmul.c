/* The matrix product. */
#include "kernel.h"

int32_t th_matmul(float *c, const float *a, const float *b, const float *bias, const int32_t *shape) {
  const ptrdiff_t m = shape[0], n = shape[1], k = shape[2], lda = shape[3], ldb = shape[4];
  const int a_transposed = shape[5], b_transposed = shape[6], batch_ndim = shape[7];
  const int32_t *batch = shape + 8, *a_strides = batch + batch_ndim, *b_strides = a_strides + batch_ndim;
  ptrdiff_t count = 1;
  for (int d = 0; d < batch_ndim; d++) count *= batch[d];
  for (ptrdiff_t i = 0; i < count; i++, c += m * n) {
    const float *pa = a, *pb = b;
    ptrdiff_t rest = i;
    for (int d = batch_ndim - 1; d >= 0; d--) {
      pa += (ptrdiff_t)a_strides[d] * (rest % batch[d]);
      pb += (ptrdiff_t)b_strides[d] * (rest % batch[d]);
      rest /= batch[d];
    }
    for (ptrdiff_t row = 0; row < m; row++) {
      for (ptrdiff_t j = 0; j < n; j++) c[row * n + j] = bias ? bias[j] : 0;
      for (ptrdiff_t p = 0; p < k; p++) {
        const float x = a_transposed ? pa[p * lda + row] : pa[row * lda + p];
        if (b_transposed)
          for (ptrdiff_t j = 0; j < n; j++) c[row * n + j] += x * pb[j * ldb + p];
        else
          for (ptrdiff_t j = 0; j < n; j++) c[row * n + j] += x * pb[p * ldb + j];
      }
    }
  }
  return TH_STATUS_OK;
}
