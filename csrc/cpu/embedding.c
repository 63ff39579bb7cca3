/*
 * Embedding: rows of a table by id, and the sum of gradients by id.
 *
 * The backward pass gives each thread a range of table rows, which it clears and then adds to in the order of the ids:
 * no atomics, no private tables, and the same result with any number of threads.
 */
#include "parallel.h"
#include "strided.h"

#include <string.h>

static const double GRAIN = 16384; /* floats worth a thread */

int32_t th_embedding(float *out, const float *table, const int32_t *ids, int32_t count, int32_t dim, int32_t rows) {
  for (int32_t i = 0; i < count; i++)
    if (ids[i] < 0 || ids[i] >= rows)
      return th_fail(TH_STATUS_INDEX, "id %d at position %d is outside the table of %d rows", ids[i], i, rows);
  const int parts = th_threads_for((double)count * dim, GRAIN);
  TH_PARALLEL_FOR(parts, i, count,
                  { memcpy(out + (ptrdiff_t)i * dim, table + (ptrdiff_t)ids[i] * dim, (size_t)dim * sizeof *out); });
  return TH_STATUS_OK;
}

/** Gradient of table rows first … last - 1. */
static void backward_rows(float *dtable, const float *dy, const int32_t *ids, int32_t count, ptrdiff_t dim,
                          ptrdiff_t first, ptrdiff_t last) {
  memset(dtable + first * dim, 0, (size_t)((last - first) * dim) * sizeof *dtable);
  for (int32_t i = 0; i < count; i++) {
    if (ids[i] < first || ids[i] >= last) continue;
    float *to = dtable + ids[i] * dim;
    const float *from = dy + i * dim;
#pragma omp simd
    for (ptrdiff_t j = 0; j < dim; j++) to[j] += from[j];
  }
}

int32_t th_embedding_backward(float *dtable, const float *dy, const int32_t *ids, int32_t count, int32_t dim,
                              int32_t rows) {
  const int parts = th_threads_for(((double)rows + count) * dim, GRAIN);
  TH_PARALLEL_FOR(parts, part, parts, {
    backward_rows(dtable, dy, ids, count, dim, th_split(rows, part, parts), th_split(rows, part + 1, parts));
  });
  return TH_STATUS_OK;
}
