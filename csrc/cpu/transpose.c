/*
 * Copies that change which axis is contiguous: a matrix transposed, images from planes to interleaved channels.
 *
 * Read in the order of the output, each element of the input would be on another cache line, and a line would be gone
 * before its next element is wanted. So the plane of the two axes is copied in tiles, small enough that all lines of a
 * tile stay in the L1 cache until every element on them has been used.
 */
#include "pack.h"
#include "parallel.h"
#include "strided.h"

enum { BAND = 16, TILE = 64 }; /* rows and columns of the output that are copied together */

/** out (rows, cols) = in (cols, rows) transposed, for BAND rows of a plane at most. */
static void copy_band(th_word *out, const th_word *in, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t out_stride,
                      ptrdiff_t in_stride) {
  if (rows == BAND && cols == 3) { /* the channels of images */
    for (ptrdiff_t i = 0; i < BAND; i++)
      for (ptrdiff_t j = 0; j < 3; j++) out[i * out_stride + j] = in[i + j * in_stride];
    return;
  }
  for (ptrdiff_t j = 0; j < cols; j += TILE) {
    const ptrdiff_t n = th_min(TILE, cols - j);
    fetch((const float *)in + (j + n) * in_stride, in_stride, 0, th_min(n, cols - j - n), rows);
    transpose((float *)out + j, out_stride, (const float *)in + j * in_stride, in_stride, n, rows);
  }
}

int th_transpose(th_word *out, const th_word *in, const th_layout *layout, double grain) {
  const int col_axis = th_contiguous_axis(layout, 0), row_axis = th_contiguous_axis(layout, 1);
  if (layout->count == 0 || col_axis < 0 || row_axis < 0 || col_axis == row_axis) return 0;
  const ptrdiff_t rows = layout->shape[row_axis], cols = layout->shape[col_axis];
  const ptrdiff_t out_stride = layout->stride[0][row_axis], in_stride = layout->stride[1][col_axis];
  th_layout planes = *layout;
  th_remove_axis(&planes, row_axis > col_axis ? row_axis : col_axis);
  th_remove_axis(&planes, row_axis > col_axis ? col_axis : row_axis);

  const ptrdiff_t bands = th_ceil_div(rows, BAND), tasks = planes.count * bands;
  const int parts = th_threads_for((double)layout->count, grain);
  TH_PARALLEL_FOR(parts, task, tasks, {
    const ptrdiff_t plane = task / bands, row = task % bands * BAND, left = rows - row;
    copy_band(out + th_offset(&planes, 0, plane) + row * out_stride, in + th_offset(&planes, 1, plane) + row,
              left < BAND ? left : BAND, cols, out_stride, in_stride);
  });
  return 1;
}
