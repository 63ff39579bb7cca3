/*
 * Running sums along an axis: floats as doubles, int32 wraps. Lines that are many, or short, are a thread's each; of few
 * long ones each is a block's, which takes as many elements at a time as it has threads.
 */
#include "strided.h"

namespace {

/** Strides of out and in along a line. */
struct steps {
  int32_t out, in;
};

template <class T, class Total>
__global__ void sum_lines(T *out, const T *in, th_axes<2> lines, uint32_t n, steps along) {
  for (uint32_t line = blockIdx.x * blockDim.x + threadIdx.x; line < lines.count; line += gridDim.x * blockDim.x) {
    int32_t at[2];
    th_offsets(lines, line, at);
    Total sum = 0;
    for (uint32_t i = 0; i < n; i++) {
      sum += (Total)in[(ptrdiff_t)at[1] + (ptrdiff_t)i * along.in];
      out[(ptrdiff_t)at[0] + (ptrdiff_t)i * along.out] = (T)sum;
    }
  }
}

/** A line a block: running sums of TH_BLOCK elements by doubling distances (Hillis and Steele, 1986), then the next ones. */
template <class T, class Total>
__global__ void sum_line(T *out, const T *in, th_axes<2> lines, uint32_t n, steps along) {
  __shared__ Total sums[TH_BLOCK];
  int32_t at[2];
  th_offsets(lines, blockIdx.x, at);
  const uint32_t thread = threadIdx.x;
  Total before = 0;
  for (uint32_t start = 0; start < n; start += TH_BLOCK) {
    const uint32_t i = start + thread;
    Total sum = i < n ? (Total)in[(ptrdiff_t)at[1] + (ptrdiff_t)i * along.in] : 0;
    for (uint32_t distance = 1; distance < TH_BLOCK; distance *= 2) {
      sums[thread] = sum;
      __syncthreads();
      if (thread >= distance) sum += sums[thread - distance];
      __syncthreads();
    }
    sums[thread] = sum;
    __syncthreads();
    if (i < n) out[(ptrdiff_t)at[0] + (ptrdiff_t)i * along.out] = (T)(before + sum);
    before += sums[TH_BLOCK - 1];
    __syncthreads();
  }
}

template <class T, class Total>
int32_t run(void *out, const void *in, const th_layout &lines, uint32_t n, steps along) {
  enum { SHORT = 64, MANY = 8192 };
  const auto to = static_cast<T *>(out);
  const auto from = static_cast<const T *>(in);
  if (n <= SHORT || lines.count >= MANY)
    return th_launch("sum_lines", sum_lines<T, Total>, th_blocks_for(lines.count), TH_BLOCK, to, from,
                     th_make_axes<2>(lines), n, along);
  return th_launch("sum_line", sum_line<T, Total>, (unsigned)lines.count, TH_BLOCK, to, from, th_make_axes<2>(lines), n,
                   along);
}

} // namespace

int32_t th_cum_sum(void *out, const void *in, const int32_t *layout, int32_t dtype) {
  const int ndim = layout[0], axis = ndim - 1;
  const int32_t *strides = layout + 1 + ndim;
  th_layout lines = th_read_layout(layout, 2, 0, axis);
  th_sort_axes(&lines, 2);
  const uint32_t n = (uint32_t)layout[1 + axis];
  const steps along = {strides[axis], strides[ndim + axis]};
  if (dtype == TH_DTYPE_INT32) return run<uint32_t, uint32_t>(out, in, lines, n, along);
  return run<float, double>(out, in, lines, n, along);
}
