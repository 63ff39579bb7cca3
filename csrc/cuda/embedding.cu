/*
 * Embedding: rows of a table by id, and the sum of gradients by id.
 *
 * The gradient must not depend on timing, so it uses no atomics: positions are sorted by id (id and position
 * together), and a block for each distinct id adds its rows in the order of their positions.
 */
#include "index_check.h"
#include "sort_keys.h"

namespace {

constexpr int THREADS = 128;

/** A row a block; an id outside the table gives NaN. */
__global__ void gather_rows(float *out, const float *table, const int32_t *ids, int32_t dim, int32_t rows,
                            th_index_report *report) {
  const int32_t i = (int32_t)blockIdx.x, id = ids[i];
  const bool valid = id >= 0 && id < rows;
  if (threadIdx.x == 0) th_check_index(report, TH_INDEX_ID, id, i, rows);
  for (int32_t j = (int32_t)threadIdx.x; j < dim; j += THREADS)
    out[(size_t)i * dim + j] = valid ? table[(size_t)id * dim + j] : NAN;
}

/** (id, position) as one number; beyond `count`, and for ids outside the table, the largest. */
__global__ void make_keys(uint64_t *keys, const int32_t *ids, uint32_t count, uint32_t padded, int32_t rows) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < padded; i += gridDim.x * blockDim.x) {
    const bool valid = i < count && ids[i] >= 0 && ids[i] < rows;
    keys[i] = valid ? (uint64_t)(uint32_t)ids[i] << 32 | i : UINT64_MAX;
  }
}

/** The block of an id's first position adds up all of that id. */
__global__ void add_rows(float *dtable, const float *dy, const uint64_t *keys, uint32_t count, int32_t dim) {
  const uint32_t first = blockIdx.x, id = (uint32_t)(keys[first] >> 32);
  if (keys[first] == UINT64_MAX || (first > 0 && (uint32_t)(keys[first - 1] >> 32) == id)) return;
  for (int32_t j = (int32_t)threadIdx.x; j < dim; j += THREADS) {
    float sum = 0;
    for (uint32_t i = first; i < count && (uint32_t)(keys[i] >> 32) == id; i++)
      sum += dy[(size_t)(uint32_t)keys[i] * dim + j];
    dtable[(size_t)id * dim + j] = sum;
  }
}

} // namespace

int32_t th_embedding(float *out, const float *table, const int32_t *ids, int32_t count, int32_t dim, int32_t rows) {
  return th_launch("gather_rows", gather_rows, (unsigned)count, THREADS, out, table, ids, dim, rows,
                   th_index_reports());
}

int32_t th_embedding_backward(float *dtable, const float *dy, const int32_t *ids, int32_t count, int32_t dim,
                              int32_t rows) {
  const size_t bytes = (size_t)rows * (size_t)dim * sizeof *dtable;
  if (bytes > 0) TH_TRY(th_cuda_status(cudaMemsetAsync(dtable, 0, bytes, th_stream()), "embeddingBackward"));
  if (count == 0) return TH_STATUS_OK;
  const uint32_t padded = th_sort_room(count);
  const th_workspace<uint64_t> keys(padded);
  TH_TRY(keys.status("embeddingBackward"));
  TH_TRY(th_launch("make_keys", make_keys, th_blocks_for(padded), TH_BLOCK, keys, ids, (uint32_t)count, padded, rows));
  TH_TRY(th_sort_keys(keys, padded, padded));
  return th_launch("add_rows", add_rows, (unsigned)count, THREADS, dtable, dy, keys, (uint32_t)count, dim);
}
