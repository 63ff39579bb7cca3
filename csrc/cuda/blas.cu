#include "blas.h"

#ifdef TH_CUBLAS
#include <cublas_v2.h>

/** The handle of all products, or null when cuBLAS does not start; then the engine of gemm.h does its work. */
static cublasHandle_t handle() {
  static const cublasHandle_t made = [] {
    cublasHandle_t h = nullptr;
    if (cublasCreate(&h) != CUBLAS_STATUS_SUCCESS) return (cublasHandle_t) nullptr;
    /* float32 means float32: no TF32. */
    if (cublasSetMathMode(h, CUBLAS_PEDANTIC_MATH) != CUBLAS_STATUS_SUCCESS) return (cublasHandle_t) nullptr;
    if (cublasSetStream(h, th_stream()) != CUBLAS_STATUS_SUCCESS) return (cublasHandle_t) nullptr;
    return h;
  }();
  return made;
}

bool th_blas_multiply(float *c, th_matrix a, th_matrix b, int32_t m, int32_t n, int32_t k, int32_t add) {
  if (m == 0 || n == 0 || k == 0 || !handle()) return false;
  const float one = 1, beta = add ? 1.0f : 0.0f;
  /* cuBLAS counts columns first: our c is its cᵀ = bᵀ · aᵀ. */
  const cublasOperation_t op_b = b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N,
                          op_a = a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  return cublasSgemm(handle(), op_b, op_a, n, m, k, &one, b.data, b.ld, a.data, a.ld, &beta, c, n) ==
         CUBLAS_STATUS_SUCCESS;
}
#else
bool th_blas_multiply(float *, th_matrix, th_matrix, int32_t, int32_t, int32_t, int32_t) { return false; }
#endif
