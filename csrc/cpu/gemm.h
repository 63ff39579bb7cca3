/* The matrix product, blocked for the caches and shared out over threads. */
#ifndef TH_GEMM_H
#define TH_GEMM_H

#include "microkernel.h"
#include "parallel.h"

/** c (m, n; row stride ldc) = a (m, k) · b (k, n) + bias (n; NULL for none), then the epilogue. A matrix is row-major with
    its row stride, or stored transposed. */
typedef struct {
  ptrdiff_t m, n, k;
  const float *a;
  ptrdiff_t lda;
  const float *b;
  ptrdiff_t ldb;
  float *c;
  ptrdiff_t ldc;
  const float *bias;
  th_epilogue epilogue; /* with b as it is, not transposed */
  int a_transposed, b_transposed;
} th_gemm;

/** The product on up to `threads` threads. Returns a th_status. */
#define gemm TH_ISA_NAME(gemm)
int32_t gemm(const th_gemm *g, int threads);

/** A member's share of a product of matrices that are not transposed. Its bits do not depend on how many share it. */
#define gemm_share TH_ISA_NAME(gemm_share)
int32_t gemm_share(const th_gemm *g, th_member m);

/** The product on the calling thread without a plan or work space, if it is small and read where it lies: B's rows are whole
    vectors, or another part of an array follows them (`b_goes_on`). Whether it was. */
#define gemm_in_place TH_ISA_NAME(gemm_in_place)
int gemm_in_place(const th_gemm *g, int b_goes_on);

/** Tiles of the micro-kernel, or one of those that few.h has. */
typedef enum { TH_TILES, TH_DOTS, TH_NARROW, TH_THIN } th_method;

/** How one thread computes a product, found once for all products of a shape. */
typedef struct {
  th_method method;
  ptrdiff_t kc, mc, nc; /* summed, rows and columns of a block */
  ptrdiff_t runs;
  int pack_a;
  int fetches;    /* the next panel of B, as B does not stay in L2 */
  int b_in_place; /* panels of whole vectors are read where they lie, the others are packed */
  int whole_a;    /* all of A stays in L2: a panel of C is finished before the next one, and leaves the cache once */
  ptrdiff_t a_stride; /* row stride of A copied apart */
  ptrdiff_t a_floats; /* of one block of A, packed */
  ptrdiff_t scratch;  /* floats of work space */
} th_blocking;

/** Whether a product is computed as Cᵀ = Bᵀ · Aᵀ. */
#define gemm_is_flipped TH_ISA_NAME(gemm_is_flipped)
int gemm_is_flipped(const th_gemm *g);

#define gemm_plan TH_ISA_NAME(gemm_plan)
#define gemm_serial TH_ISA_NAME(gemm_serial)
/** For a product, or for a part of the `whole` which is computed by the same method: they round in different orders. */
th_blocking gemm_plan(const th_gemm *g, const th_gemm *whole);
/** The product on the calling thread; `scratch` has at least p->scratch floats, 64-byte aligned. */
void gemm_serial(const th_gemm *g, const th_blocking *p, float *scratch);

#endif
