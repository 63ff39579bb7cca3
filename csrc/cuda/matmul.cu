/* Matrix products of arrays: the engine of gemm.h, or cuBLAS where the build has it. */
#include "gemm.h"

#include "blas.h"

static __global__ void add_parts(th_gemm_output out, uint32_t count, uint32_t n, uint32_t splits) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    float total = 0;
    for (uint32_t split = 0; split < splits; split++) total += out.parts[(size_t)split * count + i];
    out.c[i] = total + (out.bias ? out.bias[i % n] : 0) + (out.add ? out.c[i] : 0);
  }
}

int32_t th_add_parts(const th_gemm_output &out, uint32_t count, uint32_t n, uint32_t splits) {
  return th_launch("add_parts", add_parts, th_blocks_for(count), TH_BLOCK, out, count, n, splits);
}

int32_t th_multiply_matrices(float *c, th_matrix a, th_matrix b, const float *bias, int32_t m, int32_t n, int32_t k,
                             int32_t add, const th_layout &batch) {
  if (batch.count == 1 && !bias && th_blas_multiply(c, a, b, m, n, k, add)) return TH_STATUS_OK;
  const th_gemm_output out = {c, bias, nullptr, add};
  const auto multiply = [&](const auto &left, const auto &right) {
    return th_multiply("multiply_tiles", left, right, out, (uint32_t)m, (uint32_t)n, (uint32_t)k, batch);
  };
  const auto with_left = [&](const auto &left) {
    if (b.transposed) return multiply(left, th_dense<true>{b.data, b.ld, 1});
    return multiply(left, th_dense<false>{b.data, 1, b.ld});
  };
  if (a.transposed) return with_left(th_dense<false>{a.data, 1, a.ld});
  return with_left(th_dense<true>{a.data, a.ld, 1});
}

int32_t th_multiply_matrices(float *c, th_matrix a, th_matrix b, const float *bias, int32_t m, int32_t n, int32_t k,
                             int32_t add) {
  th_layout one = {};
  one.count = 1;
  return th_multiply_matrices(c, a, b, bias, m, n, k, add, one);
}

int32_t th_matmul(float *c, const float *a, const float *b, const float *bias, const int32_t *shape) {
  const int32_t m = shape[0], n = shape[1], k = shape[2], ndim = shape[7], *sizes = shape + 8;
  th_layout batch = {};
  batch.count = 1;
  for (int32_t d = 0; d < ndim; d++) {
    const ptrdiff_t strides[TH_MAX_OPERANDS] = {sizes[ndim + d], sizes[2 * ndim + d], 0};
    th_add_axis(&batch, 2, sizes[d], strides);
  }
  int64_t rows = m;
  /* One b, and each a's rows follow those of the one before: the batch is just more rows. */
  if (batch.ndim == 1 && !shape[5] && batch.stride[1][0] == 0 && batch.stride[0][0] == (ptrdiff_t)m * shape[3]) {
    rows = m * batch.count;
    batch.ndim = 0;
    batch.count = 1;
  }
  return th_multiply_matrices(c, {a, shape[3], shape[5]}, {b, shape[4], shape[6]}, bias, (int32_t)rows, n, k, 0, batch);
}
