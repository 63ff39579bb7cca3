/* A bitonic sort (Batcher, 1968): always the same steps, whatever the keys. */
#include "sort_keys.h"

namespace {

constexpr uint32_t THREADS = TH_SORT_SHARED / 2;

/** Puts two keys in the order that the bitonic step (size, distance) wants; `pair` counts the pairs. */
TH_DEVICE void order_pair(uint64_t *keys, uint32_t pair, uint32_t first, uint32_t size, uint32_t distance,
                          uint32_t row) {
  const uint32_t low = pair / distance * 2 * distance + pair % distance, high = low + distance;
  const bool descending = (first + low) & (row - 1) & size;
  const uint64_t a = keys[low], b = keys[high];
  if ((a > b) == descending) return;
  keys[low] = b;
  keys[high] = a;
}

/** All steps of sizes from … to whose distances fit shared memory. */
__global__ void sort_shared(uint64_t *keys, uint32_t from, uint32_t to, uint32_t row) {
  __shared__ uint64_t part[TH_SORT_SHARED];
  const uint32_t first = blockIdx.x * TH_SORT_SHARED;
  for (uint32_t i = threadIdx.x; i < TH_SORT_SHARED; i += THREADS) part[i] = keys[first + i];
  for (uint32_t size = from; size <= to; size *= 2)
    for (uint32_t distance = (size < TH_SORT_SHARED ? size : TH_SORT_SHARED) / 2; distance > 0; distance /= 2) {
      __syncthreads();
      order_pair(part, threadIdx.x, first, size, distance, row);
    }
  __syncthreads();
  for (uint32_t i = threadIdx.x; i < TH_SORT_SHARED; i += THREADS) keys[first + i] = part[i];
}

__global__ void sort_step(uint64_t *keys, uint32_t pairs, uint32_t size, uint32_t distance, uint32_t row) {
  const uint32_t pair = blockIdx.x * blockDim.x + threadIdx.x;
  if (pair < pairs) order_pair(keys, pair, 0, size, distance, row);
}

} // namespace

int32_t th_sort_keys(uint64_t *keys, uint32_t count, uint32_t row) {
  const unsigned blocks = count / TH_SORT_SHARED;
  const uint32_t shared = row < TH_SORT_SHARED ? row : TH_SORT_SHARED;
  TH_TRY(th_launch("sort_shared", sort_shared, blocks, THREADS, keys, 2u, shared, row));
  for (uint32_t size = 2 * TH_SORT_SHARED; size != 0 && size <= row; size *= 2) {
    for (uint32_t distance = size / 2; distance >= TH_SORT_SHARED; distance /= 2)
      TH_TRY(th_launch("sort_step", sort_step, th_ceil_div(count / 2, TH_BLOCK), TH_BLOCK, keys, count / 2, size,
                       distance, row));
    TH_TRY(th_launch("sort_shared", sort_shared, blocks, THREADS, keys, size, size, row));
  }
  return TH_STATUS_OK;
}
