/* cuBLAS for plain matrix products, in builds that found it (TH_CUBLAS). */
#ifndef TH_CUDA_BLAS_H
#define TH_CUDA_BLAS_H

#include "gemm.h"

/** c (m, n) = or, with `add`, += a · b in float32. False when it was not computed: the caller's own engine does it then. */
bool th_blas_multiply(float *c, th_matrix a, th_matrix b, int32_t m, int32_t n, int32_t k, int32_t add);

#endif
