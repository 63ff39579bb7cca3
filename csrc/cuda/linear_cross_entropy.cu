/*
 * A linear layer and the cross-entropy of its logits, a block of rows at a time: the logits of a block become their own
 * gradient in place, and are used up before the next block's are made.
 */
#include "column_sums.h"
#include "cross_entropy.h"
#include "gemm.h"

namespace {

/* Logits of a block: 128 MB at most. Small enough in the emulator for tests to have several blocks. */
#ifdef TH_EMULATED
constexpr int64_t BLOCK_FLOATS = 16 << 10;
#else
constexpr int64_t BLOCK_FLOATS = 32 << 20;
#endif

} // namespace

int32_t th_linear_cross_entropy(float *loss, float *correct, float *dx, float *dweight, float *dbias, const float *x,
                                const float *weight, const float *bias, const int32_t *labels, int32_t rows,
                                int32_t features, int32_t classes, int32_t weight_row, int32_t weight_transposed) {
  const int64_t most = BLOCK_FLOATS / classes < 1 ? 1 : BLOCK_FLOATS / classes;
  const int32_t block = (int32_t)(most < rows ? most : rows);
  const bool several = block < rows, wants_gradient = dx || dweight || dbias;
  const th_workspace<double> losses(rows);
  const th_workspace<float> right(rows), logits((int64_t)block * classes), share(several && dbias ? classes : 1);
  TH_TRY(losses.status("linearCrossEntropy"));
  TH_TRY(right.status("linearCrossEntropy"));
  TH_TRY(logits.status("linearCrossEntropy"));
  TH_TRY(share.status("linearCrossEntropy"));

  const th_matrix w = {weight, weight_row, weight_transposed}, w_transposed = {weight, weight_row, !weight_transposed};
  const int32_t contiguous[] = {1, classes, 1, 1, 1}; /* layout of the bias: its gradient so far, and a block's share */
  for (int32_t first = 0; first < rows; first += block) {
    const int32_t n = rows - first < block ? rows - first : block;
    const float *const in = x + (size_t)first * features;
    TH_TRY(th_multiply_matrices(logits, {in, features, 0}, w, bias, n, classes, features, 0));
    const th_row_results results = {losses + first, right + first, wants_gradient ? (float *)logits : nullptr};
    TH_TRY(th_cross_entropy_rows(results, logits, labels + first, first, n, classes, 1.0f / (float)rows));
    if (dx)
      TH_TRY(th_multiply_matrices(dx + (size_t)first * features, {logits, classes, 0}, w_transposed, nullptr, n,
                                  features, classes, 0));
    if (dweight)
      TH_TRY(th_multiply_matrices(dweight, {in, features, 1}, {logits, classes, 0}, nullptr, features, classes, n,
                                  first > 0));
    if (dbias) TH_TRY(th_column_sum(first > 0 ? (float *)share : dbias, logits, n, classes));
    if (dbias && first > 0) TH_TRY(th_binary(dbias, dbias, share, contiguous, TH_BINARY_ADD, TH_DTYPE_FLOAT32, 0));
  }
  return th_sum_row_results(loss, correct, {losses, right, nullptr}, rows);
}
