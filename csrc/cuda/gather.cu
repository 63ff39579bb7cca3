/*
 * Elements along one axis by index, and sums by index, which are its gradient.
 *
 * Sums must not depend on timing, so they use no atomics: positions are sorted by where they are added (place and position
 * together), and a thread for each distinct place adds in the order of the positions.
 */
#include "index_check.h"
#include "sort_keys.h"
#include "strided.h"

namespace {

/** An index outside the axis gives zero bits. */
__global__ void gather_elements(uint32_t *out, const uint32_t *in, const int32_t *ids, th_axes<1> axes, int32_t size,
                                int32_t stride, th_index_report *report) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < axes.count; i += gridDim.x * blockDim.x) {
    int32_t at[1];
    th_offsets(axes, i, at);
    const bool valid = th_check_index(report, TH_INDEX_ELEMENT, ids[i], (int32_t)i, size);
    out[i] = valid ? in[(ptrdiff_t)at[0] + (ptrdiff_t)ids[i] * stride] : 0;
  }
}

/** (place, position) as one number; beyond the elements, and for ids outside the axis, the largest. */
__global__ void make_keys(uint64_t *keys, const int32_t *ids, th_axes<1> axes, uint32_t room, int32_t size,
                          int32_t stride) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < room; i += gridDim.x * blockDim.x) {
    keys[i] = UINT64_MAX;
    if (i >= axes.count || ids[i] < 0 || ids[i] >= size) continue;
    int32_t at[1];
    th_offsets(axes, i, at);
    keys[i] = (uint64_t)(uint32_t)(at[0] + ids[i] * stride) << 32 | i;
  }
}

/** The thread of a place's first position adds up all of that place. */
__global__ void add_elements(float *out, const float *in, const uint64_t *keys, uint32_t count) {
  for (uint32_t first = blockIdx.x * blockDim.x + threadIdx.x; first < count; first += gridDim.x * blockDim.x) {
    const uint32_t place = (uint32_t)(keys[first] >> 32);
    if (keys[first] == UINT64_MAX || (first > 0 && (uint32_t)(keys[first - 1] >> 32) == place)) continue;
    float sum = out[place];
    for (uint32_t i = first; i < count && (uint32_t)(keys[i] >> 32) == place; i++) sum += in[(uint32_t)keys[i]];
    out[place] = sum;
  }
}

} // namespace

int32_t th_gather(void *out, const void *in, const int32_t *ids, const int32_t *layout, int32_t size, int32_t stride) {
  const th_layout l = th_read_layout(layout, 1, 0, layout[0]);
  return th_launch("gather_elements", gather_elements, th_blocks_for(l.count), TH_BLOCK, static_cast<uint32_t *>(out),
                   static_cast<const uint32_t *>(in), ids, th_make_axes<1>(l), size, stride, th_index_reports());
}

int32_t th_scatter_add(float *out, const float *in, const int32_t *ids, const int32_t *layout, int32_t size,
                       int32_t stride) {
  const th_layout l = th_read_layout(layout, 1, 0, layout[0]);
  if (l.count == 0) return TH_STATUS_OK;
  const uint32_t room = th_sort_room(l.count), count = (uint32_t)l.count;
  const th_workspace<uint64_t> keys(room);
  TH_TRY(keys.status("scatterAdd"));
  TH_TRY(th_launch("make_keys", make_keys, th_blocks_for(room), TH_BLOCK, keys, ids, th_make_axes<1>(l), room, size,
                   stride));
  TH_TRY(th_sort_keys(keys, room, room));
  return th_launch("add_elements", add_elements, th_blocks_for(count), TH_BLOCK, out, in, keys, count);
}
