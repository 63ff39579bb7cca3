/* The matrix product, blocked for the caches and shared out over threads. */
#ifndef TH_GEMM_H
#define TH_GEMM_H

#include "microkernel.h"

/** c (m, n; row stride ldc) = a (m, k) · b (k, n) + bias (n; NULL for none). A matrix is row-major with its row stride,
    or stored transposed. */
typedef struct {
  ptrdiff_t m, n, k;
  const float *a;
  ptrdiff_t lda;
  const float *b;
  ptrdiff_t ldb;
  float *c;
  ptrdiff_t ldc;
  const float *bias;
  int a_transposed, b_transposed;
} th_gemm;

/** The product on up to `threads` threads. Returns a th_status. */
#define gemm TH_ISA_NAME(gemm)
int32_t gemm(const th_gemm *g, int threads);

/** The product on the calling thread; `scratch` has at least gemm_scratch(g) floats, 64-byte aligned. */
#define gemm_serial TH_ISA_NAME(gemm_serial)
#define gemm_scratch TH_ISA_NAME(gemm_scratch)
void gemm_serial(const th_gemm *g, float *scratch);
ptrdiff_t gemm_scratch(const th_gemm *g);

#endif
