/* The matrix product of batches: one product after another on all threads or, when they are small, shared out. */
#include "gemm.h"

#include "parallel.h"

/** Floating point operations of a thread, those of padded columns included. With half as many, two cores that share no L3
    cache take twice the time of one: 64 × 64 · 64 × 64 in 5.9 µs, not 2.6. */
static const double GRAIN = 5e5;

typedef struct {
  const int32_t *sizes, *a_strides, *b_strides;
  int32_t ndim;
  ptrdiff_t count;
} th_batch;

typedef struct {
  th_batch batch;
  th_gemm first;
  th_blocking plan; /* the same for all */
  float *scratch;
  ptrdiff_t scratch_part;
} th_products;

static th_batch read_batch(const int32_t *shape) {
  th_batch b = {.ndim = shape[7], .sizes = shape + 8, .count = 1};
  b.a_strides = b.sizes + b.ndim;
  b.b_strides = b.a_strides + b.ndim;
  for (int32_t d = 0; d < b.ndim; d++) b.count *= b.sizes[d];
  return b;
}

/** The batch is just more rows: each b is the same, and the rows of one a follow those of the one before. */
static int is_more_rows(const th_gemm *g, const th_batch *batch) {
  ptrdiff_t next = g->m * g->lda;
  for (int32_t d = batch->ndim - 1; d >= 0; d--) {
    if (batch->sizes[d] == 1) continue;
    if (batch->b_strides[d] != 0 || batch->a_strides[d] != next) return 0;
    next *= batch->sizes[d];
  }
  return !g->a_transposed;
}

static th_gemm product(const th_products *p, ptrdiff_t index) {
  th_gemm g = p->first;
  g.c += index * g.m * g.n;
  for (int32_t d = p->batch.ndim - 1; d >= 0; d--) {
    const ptrdiff_t i = index % p->batch.sizes[d];
    g.a += i * p->batch.a_strides[d];
    g.b += i * p->batch.b_strides[d];
    index /= p->batch.sizes[d];
  }
  return g;
}

/** Whether the b of a product is followed by that of another, so that reading a vector from its last row is safe. */
static int b_goes_on(const th_batch *batch, ptrdiff_t index) {
  const ptrdiff_t size = batch->sizes[batch->ndim - 1];
  return index % size < size - 1 && batch->b_strides[batch->ndim - 1] >= VL;
}

static void multiply_share(int thread, int threads, void *context) {
  const th_products *p = context;
  for (ptrdiff_t i = th_split(p->batch.count, thread, threads); i < th_split(p->batch.count, thread + 1, threads);
       i++) {
    const th_gemm g = product(p, i);
    if (!gemm_in_place(&g, b_goes_on(&p->batch, i))) gemm_serial(&g, &p->plan, p->scratch + thread * p->scratch_part);
  }
}

int32_t th_matmul(float *c, const float *a, const float *b, const float *bias, const int32_t *shape) {
  const th_gemm first = {.m = shape[0],
                         .n = shape[1],
                         .k = shape[2],
                         .a = a,
                         .lda = shape[3],
                         .b = b,
                         .ldb = shape[4],
                         .c = c,
                         .ldc = shape[1],
                         .bias = bias,
                         .a_transposed = shape[5],
                         .b_transposed = shape[6]};
  /* Before anything else is read or asked, which adds a fifth to the time of a small product. */
  if (shape[7] == 0 && first.m > 0 && gemm_in_place(&first, 0)) return TH_STATUS_OK;
  th_products p = {.batch = read_batch(shape), .first = first};
  if (first.n == 1 && first.b_transposed) p.first.b_transposed = 0, p.first.ldb = 1; /* a column either way */
  if (p.batch.count == 0 || p.first.m == 0 || p.first.n == 0) return TH_STATUS_OK;
  if (is_more_rows(&p.first, &p.batch)) {
    p.first.m *= p.batch.count;
    p.batch.count = 1;
    p.batch.ndim = 0;
  }

  /* Parts of vectors take the time of whole ones, and a few rows that of a tile: reading the matrix. */
  const double rows = (double)th_max(p.first.m, MR), columns = (double)(th_ceil_div(p.first.n, VL) * VL);
  const double flops = 2.0 * rows * columns * (double)p.first.k;
  const int inner = th_threads_for(flops, GRAIN), outer = th_threads_for(flops * (double)p.batch.count, GRAIN);
  if (p.batch.count == 1 || p.batch.count < outer) {
    for (ptrdiff_t i = 0; i < p.batch.count; i++) {
      const th_gemm g = product(&p, i);
      const int32_t status = gemm(&g, inner);
      if (status) return status;
    }
    return TH_STATUS_OK;
  }

  const int threads = outer;
  p.plan = gemm_plan(&p.first, &p.first);
  p.scratch_part = th_own_floats(p.plan.scratch);
  p.scratch = th_work_space(0, threads * p.scratch_part, "matmul");
  if (!p.scratch) return TH_STATUS_OUT_OF_MEMORY;
  th_parallel(threads, multiply_share, &p);
  return TH_STATUS_OK;
}
