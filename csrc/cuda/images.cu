/*
 * Images for a batch. The data set stays in host memory; the bytes of the chosen images go through the pinned buffers to
 * the device, which makes floats with interleaved channels of them, flipped and shifted.
 */
#include <algorithm>
#include <cstring>

#include "strided.h"
#include "transfer.h"

namespace {

struct image_shape {
  int32_t channels, height, width;
  th_divisor channel, column, row;
};

struct chosen_images {
  const uint8_t *images;
  const int32_t *plan;
  size_t bytes; /* of an image */
};

/** Bytes of the chosen images, one after another. */
void write_images(char *to, size_t first, size_t count, const void *context) {
  const chosen_images c = *static_cast<const chosen_images *>(context);
  while (count > 0) {
    const size_t image = first / c.bytes, offset = first % c.bytes, length = std::min(count, c.bytes - offset);
    memcpy(to, c.images + (size_t)c.plan[4 * image] * c.bytes + offset, length);
    to += length;
    first += length;
    count -= length;
  }
}

__global__ void convert_images(float *out, const uint8_t *images, const int32_t *plan, image_shape s, uint32_t count) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    uint32_t rest = th_divide(i, s.channel);
    const int32_t c = (int32_t)(i - rest * s.channel.value);
    const uint32_t rows = th_divide(rest, s.column), x = rest - rows * s.column.value;
    const uint32_t image = th_divide(rows, s.row), y = rows - image * s.row.value;
    const int32_t *of = plan + 4 * image;
    const int32_t row = (int32_t)y + of[2], column = (int32_t)x + of[3];
    const bool inside = row >= 0 && row < s.height && column >= 0 && column < s.width;
    const int32_t from = of[1] ? s.width - 1 - column : column;
    const size_t at = (((size_t)image * s.channels + c) * s.height + row) * s.width + from;
    out[i] = inside ? (float)images[at] / 255.0f : 0;
  }
}

} // namespace

int32_t th_gather_images(float *out, const uint8_t *host_images, const int32_t *host_plan, int32_t count,
                         int32_t channels, int32_t height, int32_t width) {
  const size_t bytes = (size_t)channels * height * width, total = bytes * count;
  if (total == 0) return TH_STATUS_OK;
  const th_workspace<uint8_t> images((int64_t)total);
  const th_workspace<int32_t> plan(4 * (int64_t)count);
  TH_TRY(images.status("gatherImages"));
  TH_TRY(plan.status("gatherImages"));
  const chosen_images chosen = {host_images, host_plan, bytes};
  TH_TRY(th_send(images, total, write_images, &chosen));
  TH_TRY(th_upload(plan, host_plan, 4.0 * count * sizeof *host_plan));
  const image_shape shape = {channels,
                             height,
                             width,
                             th_make_divisor((uint32_t)channels),
                             th_make_divisor((uint32_t)width),
                             th_make_divisor((uint32_t)height)};
  return th_launch("convert_images", convert_images, th_blocks_for((int64_t)total), TH_BLOCK, out, images, plan, shape,
                   (uint32_t)total);
}
