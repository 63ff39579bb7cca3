/*
 * Elementwise work over long rows, visited in bands of a few rows: of an operand that is contiguous along them nothing is
 * packed, and a column of numbers goes to the loop one by one. An operand that is contiguous down the rows is transposed
 * a tile at a time: in the order of the output each of its elements would be on another cache line.
 */
#include "pack.h"
#include "parallel.h"
#include "stream.h"

enum {
  LONG_ROW = 64,   /* elements of a row that is worth a visit */
  BAND = 16,       /* rows: a cache line of an operand that is transposed, … */
  TILE = 128,      /* … and columns of it */
  CHUNK = 2048,    /* elements of a row in one visit where an operand is packed */
  LONGEST = 16384, /* and where none is */
};

typedef struct {
  enum { AS_IT_IS, SINGLE, PACKED, TRANSPOSED, STREAMED } form[TH_MAX_OPERANDS];
  int single;      /* the operand of that form */
  th_layout outer; /* all axes but that of the rows and that of their elements */
  ptrdiff_t rows, length, row_stride[TH_MAX_OPERANDS], stride[TH_MAX_OPERANDS];
  ptrdiff_t width, widths, bands; /* elements of a row in one visit; how many such, and bands, there are */
} plan;

static plan make_plan(const th_layout *layout, int operands, void *const pointers[]) {
  const int inner = layout->ndim - 1;
  plan p = {.outer = *layout, .width = LONGEST};
  int across = -1;
  for (int k = 0; k < operands; k++) {
    const ptrdiff_t stride = layout->stride[k][inner];
    const int axis = th_contiguous_axis(layout, k);
    p.form[k] = stride == 1 ? AS_IT_IS : PACKED;
    if (p.form[k] == PACKED && k > 0 && operands == 3 && !p.single && stride == 0) p.form[k] = SINGLE, p.single = k;
    if (p.form[k] == PACKED && k > 0 && axis >= 0 && (across < 0 || across == axis))
      p.form[k] = TRANSPOSED, across = axis;
    if (p.form[k] >= PACKED) p.width = th_min(p.width, p.form[k] == PACKED ? CHUNK : TILE);
  }
  if (p.form[0] == AS_IT_IS && th_is_streamed(layout, operands, pointers))
    p.form[0] = STREAMED, p.width = th_min(p.width, STREAMED_CHUNK);
  if (across < 0) across = inner - 1;
  p.rows = layout->shape[across], p.length = layout->shape[inner];
  for (int k = 0; k < operands; k++) {
    p.row_stride[k] = layout->stride[k][across];
    p.stride[k] = layout->stride[k][inner];
  }
  th_remove_axis(&p.outer, inner);
  th_remove_axis(&p.outer, across);
  p.widths = th_ceil_div(p.length, p.width), p.bands = th_ceil_div(p.rows, BAND);
  return p;
}

static void visit(const plan *p, int operands, void *const pointers[], th_chunk_loop loop, const void *context,
                  ptrdiff_t number) {
  _Alignas(64) th_word buffers[TH_MAX_OPERANDS][CHUNK];
  const ptrdiff_t j = number % p->widths * p->width, i = number / p->widths % p->bands * BAND;
  const ptrdiff_t n = th_min(p->width, p->length - j), rows = th_min(BAND, p->rows - i);
  th_word *at[TH_MAX_OPERANDS] = {0};
  ptrdiff_t step[TH_MAX_OPERANDS] = {0};
  for (int k = 0; k < operands; k++) {
    at[k] = (th_word *)pointers[k] + th_offset(&p->outer, k, number / p->widths / p->bands) + i * p->row_stride[k] +
            j * p->stride[k];
    step[k] = p->row_stride[k];
    if (p->form[k] != TRANSPOSED) continue;
    fetch((const float *)at[k] + n * p->stride[k], p->stride[k], 0, th_min(n, p->length - j - n), rows);
    transpose((float *)buffers[k], TILE, (const float *)at[k], p->stride[k], n, rows);
    at[k] = buffers[k], step[k] = TILE;
  }
  th_chunk chunk = {.n = n, .single = p->single, .context = context};
  for (ptrdiff_t row = 0; row < rows; row++) {
    for (int k = 1; k < operands; k++)
      if (p->form[k] == PACKED) th_copy_row(buffers[k], at[k], p->stride[k], n, 0);
    chunk.out = p->form[0] == AS_IT_IS ? at[0] : buffers[0];
    chunk.a = p->form[1] == PACKED ? buffers[1] : at[1];
    chunk.b = p->form[2] == PACKED ? buffers[2] : at[2];
    chunk.c = p->form[3] == PACKED ? buffers[3] : at[3];
    loop(&chunk);
    if (p->form[0] == PACKED) th_copy_row(buffers[0], at[0], p->stride[0], n, 1);
    if (p->form[0] == STREAMED) th_stream(at[0], buffers[0], n);
    for (int k = 0; k < operands; k++) at[k] += step[k];
  }
  if (p->form[0] == STREAMED) end_streams();
}

int th_for_bands(const th_layout *layout, int operands, void *const pointers[], th_chunk_loop loop, const void *context,
                 double grain) {
  if (layout->ndim < 2 || layout->shape[layout->ndim - 1] < LONG_ROW) return 0;
  const plan p = make_plan(layout, operands, pointers);
  const ptrdiff_t visits = p.outer.count * p.bands * p.widths;
  const int parts = th_threads_for((double)layout->count, grain);
  TH_PARALLEL_FOR(parts, number, visits, { visit(&p, operands, pointers, loop, context, number); });
  return 1;
}
