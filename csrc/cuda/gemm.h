/*
 * The matrix product that everything with many multiplications is: c[m, n] = Σ a(m, k) · b(k, n).
 *
 * A block of 256 threads makes a tile of 16·T × 16·T outputs, T × T a thread, in registers. Tiles of a and b pass through
 * shared memory 16 columns at a time; while one is used the next is on its way to registers. Where a and b come from is up
 * to two functors, so a convolution gathers its windows on the way and never writes them out. Where there are too few
 * tiles to fill the device, k is split, and the parts are added in order.
 *
 * An operand functor has
 *   K_FASTEST          whether neighbouring k, rather than neighbouring rows, are neighbours in memory
 *   row(i), column(k)  what is needed of a row (m of a, n of b) or of a column, computed once for many elements
 *   load(row, column)  the element
 *   at(offset)         the same operand for another product of the batch
 */
#ifndef TH_CUDA_GEMM_H
#define TH_CUDA_GEMM_H

#include <utility>

#include "strided.h"

static constexpr int TH_TILE_K = 16;

/** The products of a batch; each split of k is a block's own. */
struct th_gemm_shape {
  uint32_t m, n, k, tiles_m, tiles_n, splits, chunk; /* chunk: k of a split, a multiple of TH_TILE_K */
  th_axes<2> batch;                                  /* offsets of a and b */
};

/** c, contiguous (batch, m, n). */
struct th_gemm_output {
  float *c;
  const float *bias; /* (n), or NULL */
  float *parts;      /* (splits, batch, m, n), where there are splits */
  int32_t add;       /* whether the product is added to what c holds */
};

/** The share of one operand's tile that a thread carries. */
template <class Operand, int ROWS> struct th_gemm_tile {
  static constexpr int COUNT = ROWS * TH_TILE_K / TH_BLOCK;
  /* Along the fast axis every thread stays where it is; along the other it steps. */
  static constexpr int STEP = Operand::K_FASTEST ? TH_BLOCK / TH_TILE_K : TH_BLOCK / ROWS;
  static constexpr int ROW_STATES = Operand::K_FASTEST ? COUNT : 1;
  typedef decltype(std::declval<const Operand &>().row(0)) row_state;

  row_state rows[ROW_STATES];
  bool valid[ROW_STATES];
  float values[COUNT];

  static __device__ __forceinline__ int row_of(int i) {
    return Operand::K_FASTEST ? (int)threadIdx.x / TH_TILE_K + i * STEP : (int)threadIdx.x % ROWS;
  }
  static __device__ __forceinline__ int column_of(int i) {
    return Operand::K_FASTEST ? (int)threadIdx.x % TH_TILE_K : (int)threadIdx.x / ROWS + i * STEP;
  }

  __device__ __forceinline__ void start(const Operand &operand, uint32_t first, uint32_t rows_in_all) {
#pragma unroll
    for (int i = 0; i < ROW_STATES; i++) {
      const uint32_t row = first + (uint32_t)row_of(i);
      valid[i] = row < rows_in_all;
      rows[i] = operand.row(valid[i] ? row : 0);
    }
  }

  __device__ __forceinline__ void load(const Operand &operand, uint32_t k, uint32_t end) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
      const uint32_t at = k + (uint32_t)column_of(i);
      const int row = Operand::K_FASTEST ? i : 0;
      values[i] = valid[row] && at < end ? operand.load(rows[row], operand.column(at)) : 0;
    }
  }

  __device__ __forceinline__ void store(float (*shared)[ROWS + 4]) const {
#pragma unroll
    for (int i = 0; i < COUNT; i++) shared[column_of(i)][row_of(i)] = values[i];
  }
};

template <class A, class B, int T>
__global__ void __launch_bounds__(TH_BLOCK) th_multiply_tiles(A a_in, B b_in, th_gemm_output out, th_gemm_shape s) {
  constexpr int ROWS = 16 * T;
  __shared__ float a_tile[TH_TILE_K][ROWS + 4], b_tile[TH_TILE_K][ROWS + 4];

  uint32_t rest = blockIdx.x;
  const uint32_t tile_n = rest % s.tiles_n;
  rest /= s.tiles_n;
  const uint32_t tile_m = rest % s.tiles_m;
  rest /= s.tiles_m;
  const uint32_t split = rest % s.splits, batch = rest / s.splits;
  int32_t offsets[2];
  th_offsets(s.batch, batch, offsets);
  const A a = a_in.at(offsets[0]);
  const B b = b_in.at(offsets[1]);

  th_gemm_tile<A, ROWS> a_share;
  th_gemm_tile<B, ROWS> b_share;
  a_share.start(a, tile_m * ROWS, s.m);
  b_share.start(b, tile_n * ROWS, s.n);
  const uint32_t begin = split * s.chunk, end = begin + s.chunk < s.k ? begin + s.chunk : s.k;
  const int y = (int)threadIdx.x / 16 * T, x = (int)threadIdx.x % 16 * T;
  float sums[T][T] = {};

  a_share.load(a, begin, end);
  b_share.load(b, begin, end);
  for (uint32_t k = begin; k < end; k += TH_TILE_K) {
    a_share.store(a_tile);
    b_share.store(b_tile);
    __syncthreads();
    if (k + TH_TILE_K < end) {
      a_share.load(a, k + TH_TILE_K, end);
      b_share.load(b, k + TH_TILE_K, end);
    }
#pragma unroll
    for (int i = 0; i < TH_TILE_K; i++) {
      float left[T], right[T];
#pragma unroll
      for (int j = 0; j < T; j++) left[j] = a_tile[i][y + j], right[j] = b_tile[i][x + j];
#pragma unroll
      for (int p = 0; p < T; p++)
#pragma unroll
        for (int q = 0; q < T; q++) sums[p][q] += left[p] * right[q];
    }
    __syncthreads();
  }

#pragma unroll
  for (int p = 0; p < T; p++) {
    const uint32_t m = tile_m * ROWS + (uint32_t)(y + p);
#pragma unroll
    for (int q = 0; q < T; q++) {
      const uint32_t n = tile_n * ROWS + (uint32_t)(x + q);
      if (m >= s.m || n >= s.n) continue;
      const size_t at = ((size_t)batch * s.m + m) * s.n + n, count = (size_t)s.batch.count * s.m * s.n;
      if (s.splits > 1) out.parts[split * count + at] = sums[p][q];
      else out.c[at] = sums[p][q] + (out.bias ? out.bias[n] : 0) + (out.add ? out.c[at] : 0);
    }
  }
}

/** Adds the splits, the bias, and what c held, of `count` outputs. */
int32_t th_add_parts(const th_gemm_output &out, uint32_t count, uint32_t n, uint32_t splits);

template <int T, class A, class B>
int32_t th_multiply_with(const char *name, const A &a, const B &b, th_gemm_output out, th_gemm_shape s) {
  constexpr int ROWS = 16 * T;
  s.tiles_m = th_ceil_div(s.m, ROWS);
  s.tiles_n = th_ceil_div(s.n, ROWS);
  const int64_t tiles = (int64_t)s.tiles_m * s.tiles_n * s.batch.count;
  /* A split has eight steps at least, for each costs a pass over its outputs. */
  const int64_t wanted = 2 * th_multiprocessors() / tiles, most = s.k / (8 * TH_TILE_K);
  const int64_t splits = wanted < most ? wanted : most;
  s.chunk = TH_TILE_K * th_ceil_div(th_ceil_div(s.k, splits > 1 ? splits : 1), TH_TILE_K);
  s.splits = s.k > 0 ? th_ceil_div(s.k, s.chunk) : 1;
  const int64_t count = (int64_t)s.batch.count * s.m * s.n;
  const th_workspace<float> parts(s.splits > 1 ? count * s.splits : 1);
  TH_TRY(parts.status(name));
  out.parts = parts;
  TH_TRY(th_launch(name, th_multiply_tiles<A, B, T>, (unsigned)(tiles * s.splits), TH_BLOCK, a, b, out, s));
  return s.splits > 1 ? th_add_parts(out, (uint32_t)count, s.n, s.splits) : TH_STATUS_OK;
}

/** c = a · b for every product of the batch; large tiles where there are enough of them. */
template <class A, class B>
int32_t th_multiply(const char *name, const A &a, const B &b, const th_gemm_output &out, uint32_t m, uint32_t n,
                    uint32_t k, const th_layout &batch) {
  if (m == 0 || n == 0 || batch.count == 0) return TH_STATUS_OK;
  const th_gemm_shape shape = {m, n, k, 0, 0, 1, 0, th_make_axes<2>(batch)};
  const int64_t large = (int64_t)th_ceil_div(m, 128) * th_ceil_div(n, 128) * batch.count;
  if (large >= th_multiprocessors() && m > 64 && n > 64) return th_multiply_with<8>(name, a, b, out, shape);
  return th_multiply_with<4>(name, a, b, out, shape);
}

/** A matrix in memory: row i, column k at i · row_stride + k · column_stride. */
template <bool FASTEST> struct th_dense {
  static constexpr bool K_FASTEST = FASTEST;
  const float *data;
  int32_t row_stride, column_stride;
  __device__ __forceinline__ int32_t row(uint32_t i) const { return (int32_t)i * row_stride; }
  __device__ __forceinline__ int32_t column(uint32_t k) const { return (int32_t)k * column_stride; }
  __device__ __forceinline__ float load(int32_t row, int32_t column) const { return data[row + column]; }
  __device__ __forceinline__ th_dense at(int32_t offset) const { return {data + offset, row_stride, column_stride}; }
};

/** A matrix as a caller has it: m × k with row stride ld, or, transposed, stored k × m with row stride ld; likewise b. */
struct th_matrix {
  const float *data;
  int32_t ld, transposed;
};

/** c (m, n), contiguous, = or, with `add`, += a · b (+ bias); for each of the batch, whose strides are those of a and b. */
int32_t th_multiply_matrices(float *c, th_matrix a, th_matrix b, const float *bias, int32_t m, int32_t n, int32_t k,
                             int32_t add, const th_layout &batch);
/** The same for one product. */
int32_t th_multiply_matrices(float *c, th_matrix a, th_matrix b, const float *bias, int32_t m, int32_t n, int32_t k,
                             int32_t add);

#endif
