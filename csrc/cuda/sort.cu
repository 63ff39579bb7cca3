/*
 * Sorted rows, and the first elements of sorted rows. Each element becomes a key: its bits, such that unsigned numbers are
 * in its order, and below them its index; so the order is a stable one.
 */
#include "sort_keys.h"

#include "../common/sort.h"

namespace {

/** Rows of `room` keys; those beyond an element are the largest. */
__global__ void make_keys(uint64_t *keys, const uint32_t *in, uint32_t rows, uint32_t cols, uint32_t room,
                          uint32_t count, int32_t descending, int32_t dtype) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    const uint32_t row = i / room, col = i % room;
    keys[i] = UINT64_MAX;
    if (row >= rows || col >= cols) continue;
    const uint32_t order = th_order_of(in[(size_t)row * cols + col], dtype);
    keys[i] = (uint64_t)(descending ? ~order : order) << 32 | col;
  }
}

__global__ void take_elements(uint32_t *values, int32_t *indices, const uint32_t *in, const uint64_t *keys,
                              uint32_t cols, uint32_t room, uint32_t taken, uint32_t count) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    const uint32_t row = i / taken, index = (uint32_t)keys[(size_t)row * room + i % taken];
    indices[i] = (int32_t)index;
    values[i] = in[(size_t)row * cols + index];
  }
}

/** Some of the rows. */
int32_t sort_rows(uint32_t *values, int32_t *indices, const uint32_t *in, uint32_t rows, uint32_t cols, uint32_t room,
                  uint32_t taken, int32_t descending, int32_t dtype) {
  const uint32_t count = th_ceil_div((int64_t)rows * room, TH_SORT_SHARED) * TH_SORT_SHARED;
  const th_workspace<uint64_t> keys(count);
  TH_TRY(keys.status("sort"));
  TH_TRY(th_launch("make_keys", make_keys, th_blocks_for(count), TH_BLOCK, keys, in, rows, cols, room, count,
                   descending, dtype));
  TH_TRY(th_sort_keys(keys, count, room));
  return th_launch("take_elements", take_elements, th_blocks_for((int64_t)rows * taken), TH_BLOCK, values, indices, in,
                   keys, cols, room, taken, rows * taken);
}

} // namespace

int32_t th_sort(void *values, int32_t *indices, const void *in, int32_t rows, int32_t cols, int32_t count,
                int32_t descending, int32_t dtype) {
  constexpr int64_t MOST_KEYS = (int64_t)1 << 26;
  if (rows == 0 || count == 0) return TH_STATUS_OK;
  int64_t room = 2;
  while (room < cols) room *= 2;
  const int64_t step = room < MOST_KEYS ? MOST_KEYS / room : 1;
  for (int64_t row = 0; row < rows; row += step) {
    const int64_t left = rows - row;
    TH_TRY(sort_rows(static_cast<uint32_t *>(values) + row * count, indices + row * count,
                     static_cast<const uint32_t *>(in) + row * cols, (uint32_t)(step < left ? step : left),
                     (uint32_t)cols, (uint32_t)room, (uint32_t)count, descending, dtype));
  }
  return TH_STATUS_OK;
}
