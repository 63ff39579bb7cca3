/*
 * Two sums over the rows of a matrix for each of its columns, which are neighbours in memory: what batch normalisation, the
 * gradients of biases and of normalisation's weights need. A block sums 32 columns over its share of the rows; the
 * shares are added in order by whoever needs the sums.
 */
#ifndef TH_CUDA_COLUMN_SUMS_H
#define TH_CUDA_COLUMN_SUMS_H

#include "device.h"

static constexpr int TH_SUM_COLUMNS = 32, TH_SUM_ROWS = 8;

/** What one element, or the rows of a stretch, add to the two sums. */
struct th_terms {
  float first, second;
};
struct th_stretch_terms {
  double first, second;
};

/** Rows first, first + TH_SUM_ROWS, … of a column: at most TH_STRETCH. */
static constexpr int TH_STRETCH = 16;
struct th_stretch {
  int32_t first, count, column;
  __device__ __forceinline__ int32_t row(int i) const { return first + i * TH_SUM_ROWS; }
};

/** A functor on stretches, from one on elements: floats over a stretch, doubles beyond. */
template <class F> struct th_by_element {
  F terms;
  __device__ __forceinline__ th_stretch_terms operator()(const th_stretch &s) const {
    float first = 0, second = 0;
    for (int i = 0; i < s.count; i++) {
      const th_terms t = terms(s.row(i), s.column);
      first += t.first;
      second += t.second;
    }
    return {(double)first, (double)second};
  }
};

/** Doubles (shares, 2, columns). */
struct th_column_shares {
  const double *sums;
  int32_t shares, columns;
  /** The total of the first or second sum of a column. */
  __device__ __forceinline__ double total(int which, int32_t column) const {
    double total = 0;
    for (int32_t share = 0; share < shares; share++)
      total += sums[((size_t)share * 2 + which) * (size_t)columns + column];
    return total;
  }
};

template <class F>
__global__ void th_sum_columns(double *sums, F terms, int32_t rows, int32_t columns, int32_t rows_a_share) {
  __shared__ double first[TH_SUM_ROWS][TH_SUM_COLUMNS], second[TH_SUM_ROWS][TH_SUM_COLUMNS];
  const int32_t groups = (columns + TH_SUM_COLUMNS - 1) / TH_SUM_COLUMNS;
  const int32_t share = (int32_t)blockIdx.x / groups;
  const int32_t column = (int32_t)blockIdx.x % groups * TH_SUM_COLUMNS + (int32_t)threadIdx.x;
  const int64_t begin = (int64_t)share * rows_a_share;
  const int64_t end = begin + rows_a_share < rows ? begin + rows_a_share : rows;
  double a = 0, b = 0;
  if (column < columns)
    for (int64_t start = begin + threadIdx.y; start < end; start += TH_STRETCH * TH_SUM_ROWS) {
      const int64_t left = (end - start + TH_SUM_ROWS - 1) / TH_SUM_ROWS;
      const th_stretch_terms t = terms(th_stretch{(int32_t)start, left < TH_STRETCH ? (int)left : TH_STRETCH, column});
      a += t.first;
      b += t.second;
    }
  first[threadIdx.y][threadIdx.x] = a;
  second[threadIdx.y][threadIdx.x] = b;
  __syncthreads();
  if (threadIdx.y > 0 || column >= columns) return;
  for (int y = 1; y < TH_SUM_ROWS; y++) a += first[y][threadIdx.x], b += second[y][threadIdx.x];
  sums[(size_t)share * 2 * columns + column] = a;
  sums[((size_t)share * 2 + 1) * columns + column] = b;
}

/** Into how many shares rows are cut: enough to fill the device, few enough to be added by one thread. */
static inline int32_t th_column_share_count(int32_t rows, int32_t columns) {
  const int64_t groups = th_ceil_div(columns, TH_SUM_COLUMNS);
  const int64_t wanted = 4 * th_multiprocessors() / groups, most = rows / (4 * TH_SUM_ROWS);
  const int64_t shares = wanted < most ? wanted : most;
  return shares < 1 ? 1 : shares > 64 ? 64 : (int32_t)shares;
}

/** Fills `sums`, th_column_share_count(rows, columns) · 2 · columns doubles. F is called as terms(stretch). */
template <class F>
int32_t th_sum_column_stretches(const char *name, double *sums, const F &terms, int32_t rows, int32_t columns) {
  const int32_t shares = th_column_share_count(rows, columns), share = (int32_t)th_ceil_div(rows, shares);
  const dim3 threads(TH_SUM_COLUMNS, TH_SUM_ROWS);
  return th_launch(name, th_sum_columns<F>, th_ceil_div(columns, TH_SUM_COLUMNS) * (unsigned)shares, threads, sums,
                   terms, rows, columns, share);
}

/** The same for terms(row, column). */
template <class F>
int32_t th_start_column_sums(const char *name, double *sums, const F &terms, int32_t rows, int32_t columns) {
  return th_sum_column_stretches(name, sums, th_by_element<F>{terms}, rows, columns);
}

/** The totals as floats (columns), each NULL where it is not needed. */
int32_t th_store_column_sums(float *first, float *second, const th_column_shares &shares);

/** out[c] = Σ x[r, c] over the rows of a contiguous matrix. */
int32_t th_column_sum(float *out, const float *x, int32_t rows, int32_t columns);

#endif
