#include "column_sums.h"

namespace {

struct elements {
  const float *x;
  int32_t columns;
  __device__ __forceinline__ th_terms operator()(int32_t row, int32_t column) const {
    return {x[(size_t)row * columns + column], 0};
  }
};

__global__ void store_sums(float *first, float *second, th_column_shares shares) {
  const int32_t column = (int32_t)(blockIdx.x * blockDim.x + threadIdx.x);
  if (column >= shares.columns) return;
  if (first) first[column] = (float)shares.total(0, column);
  if (second) second[column] = (float)shares.total(1, column);
}

} // namespace

int32_t th_store_column_sums(float *first, float *second, const th_column_shares &shares) {
  return th_launch("store_sums", store_sums, th_ceil_div(shares.columns, TH_BLOCK), TH_BLOCK, first, second, shares);
}

int32_t th_column_sum(float *out, const float *x, int32_t rows, int32_t columns) {
  const int32_t shares = th_column_share_count(rows, columns);
  const th_workspace<double> sums((int64_t)shares * 2 * columns);
  TH_TRY(sums.status("column sums"));
  TH_TRY(th_start_column_sums("column_sum", sums, elements{x, columns}, rows, columns));
  return th_store_column_sums(out, nullptr, th_column_shares{sums, shares, columns});
}
