/* Panels of B, packed from rows or from columns; the latter are transposed on the way. */
#include "pack.h"

void pack_panel(float *panel, const float *b, ptrdiff_t ldb, ptrdiff_t k, ptrdiff_t cols) {
  if (cols == NR) {
    for (; k > 0; k--, b += ldb, panel += NR) {
      vec_store(panel, vec_load(b));
      vec_store(panel + VL, vec_load(b + VL));
    }
  } else if (cols > VL) {
    for (; k > 0; k--, b += ldb, panel += NR) {
      vec_store(panel, vec_load(b));
      vec_store(panel + VL, vec_load_part(b + VL, cols - VL));
    }
  } else {
    for (; k > 0; k--, b += ldb, panel += VL) vec_store(panel, vec_load_part(b, cols));
  }
}

/* 4 × 4 blocks: half a shuffle for each element with any vector length. */
typedef float quad __attribute__((vector_size(16)));
typedef float quad_in_memory __attribute__((vector_size(16), aligned(4), may_alias));

TH_INLINE void transpose_4x4(float *out, ptrdiff_t ldo, const float *in, ptrdiff_t ldi) {
  const quad a = *(const quad_in_memory *)in, b = *(const quad_in_memory *)(in + ldi);
  const quad c = *(const quad_in_memory *)(in + 2 * ldi), d = *(const quad_in_memory *)(in + 3 * ldi);
  const quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const quad cd = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  *(quad_in_memory *)out = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
  *(quad_in_memory *)(out + ldo) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  *(quad_in_memory *)(out + 2 * ldo) = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
  *(quad_in_memory *)(out + 3 * ldo) = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
}

void transpose(float *out, ptrdiff_t ldo, const float *in, ptrdiff_t ldi, ptrdiff_t rows, ptrdiff_t cols) {
  ptrdiff_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    ptrdiff_t j = 0;
    for (; j + 4 <= cols; j += 4) transpose_4x4(out + j * ldo + i, ldo, in + i * ldi + j, ldi);
    for (; j < cols; j++)
      for (ptrdiff_t r = i; r < i + 4; r++) out[j * ldo + r] = in[r * ldi + j];
  }
  for (; i < rows; i++)
    for (ptrdiff_t j = 0; j < cols; j++) out[j * ldo + i] = in[i * ldi + j];
}

void pack_panel_transposed(float *panel, const float *b, ptrdiff_t ldb, ptrdiff_t k, ptrdiff_t cols) {
  const ptrdiff_t width = panel_width(cols);
  transpose(panel, width, b, ldb, cols, k);
  if (cols < width)
    for (ptrdiff_t i = 0; i < k; i++)
      for (ptrdiff_t j = cols; j < width; j++) panel[i * width + j] = 0;
}
