/* Packing and unpacking of strided operands: see strided.h. */
#include "parallel.h"
#include "stream.h"

enum { CHUNK = 512 }; /* elements of an operand that is packed */

/* --------------------------------------------------------------------------------------- pack and unpack */

/** Moves elements start … start + n - 1 (linear order) of operand k between `buffer` and `array`. */
static void copy_elements(th_word *buffer, th_word *array, const th_layout *layout, int k, ptrdiff_t start, ptrdiff_t n,
                          int unpack) {
  const int inner = layout->ndim - 1;
  if (inner < 0) {
    th_copy_row(buffer, array, 1, n, unpack);
    return;
  }
  const ptrdiff_t *shape = layout->shape, *stride = layout->stride[k];
  ptrdiff_t index[TH_MAX_NDIM], rest = start;
  th_word *row = array;
  for (int axis = inner; axis >= 0; axis--) {
    index[axis] = rest % shape[axis];
    rest /= shape[axis];
    row += index[axis] * stride[axis];
  }
  while (n > 0) {
    const ptrdiff_t left = shape[inner] - index[inner], length = left < n ? left : n;
    th_copy_row(buffer, row, stride[inner], length, unpack);
    buffer += length;
    n -= length;
    /* To the start of the next row, carrying into the outer axes. */
    row -= index[inner] * stride[inner];
    index[inner] = 0;
    for (int axis = inner - 1; axis >= 0; axis--) {
      row += stride[axis];
      if (++index[axis] < shape[axis]) break;
      row -= shape[axis] * stride[axis];
      index[axis] = 0;
    }
  }
}

/* ------------------------------------------------------------------------------------------------ chunks */

/** The number of elements after which operand k repeats from the start: the whole count when it never does. */
static ptrdiff_t period_of(const th_layout *layout, int k) {
  int axis = 0;
  while (axis < layout->ndim && layout->stride[k][axis] == 0) axis++;
  ptrdiff_t period = 1;
  for (; axis < layout->ndim; axis++) period *= layout->shape[axis];
  return period;
}

typedef struct {
  enum { AS_IT_IS, SINGLE, PACKED_ONCE, PACKED, STREAMED } form[TH_MAX_OPERANDS];
  int single; /* the operand of that form */
  ptrdiff_t chunk;
} plan;

static plan make_plan(const th_layout *layout, int operands, void *const pointers[]) {
  plan p = {.chunk = layout->count};
  for (int k = 0; k < operands; k++) {
    p.form[k] = th_is_contiguous(layout, k) ? AS_IT_IS : PACKED;
    if (p.form[k] == PACKED && k > 0 && operands == 3 && !p.single && period_of(layout, k) == 1)
      p.form[k] = SINGLE, p.single = k;
    if (p.form[k] == PACKED) p.chunk = CHUNK;
  }
  for (int k = 1; k < operands; k++) {
    const ptrdiff_t period = period_of(layout, k);
    if (p.form[k] != PACKED || period > p.chunk) continue;
    p.form[k] = PACKED_ONCE;
    p.chunk -= p.chunk % period;
  }
  for (int k = 1; k < operands; k++)
    if (p.form[k] == PACKED_ONCE && p.chunk % period_of(layout, k) != 0) p.form[k] = PACKED;
  if (p.form[0] == AS_IT_IS && th_is_streamed(layout, operands, pointers))
    p.form[0] = STREAMED, p.chunk = th_min(p.chunk, STREAMED_CHUNK);
  return p;
}

/** Elements `from` to `to` - 1, of those that there are. */
static void run(const plan *p, const th_layout *layout, int operands, void *const pointers[], th_chunk_loop loop,
                const void *context, ptrdiff_t from, ptrdiff_t to) {
  _Alignas(64) th_word buffers[TH_MAX_OPERANDS][CHUNK], streamed[STREAMED_CHUNK];
  const ptrdiff_t end = to < layout->count ? to : layout->count;
  for (ptrdiff_t start = from; start < end; start += p->chunk) {
    const ptrdiff_t n = end - start < p->chunk ? end - start : p->chunk;
    th_word *at[TH_MAX_OPERANDS] = {0};
    for (int k = 0; k < operands; k++) {
      at[k] = buffers[k];
      if (p->form[k] == AS_IT_IS) at[k] = (th_word *)pointers[k] + start;
      if (p->form[k] == SINGLE) at[k] = pointers[k];
      if (p->form[k] == STREAMED) at[k] = streamed;
      if (k > 0 && (p->form[k] == PACKED || (p->form[k] == PACKED_ONCE && start == from)))
        copy_elements(buffers[k], pointers[k], layout, k, start, n, 0);
    }
    loop(&(th_chunk){n, at[0], at[1], at[2], at[3], p->single, context});
    if (p->form[0] == PACKED) copy_elements(buffers[0], pointers[0], layout, 0, start, n, 1);
    if (p->form[0] == STREAMED) th_stream((th_word *)pointers[0] + start, streamed, n);
  }
  if (p->form[0] == STREAMED) end_streams();
}

void th_for_chunks(const th_layout *layout, int operands, void *const pointers[], th_chunk_loop loop,
                   const void *context, double grain) {
  const ptrdiff_t count = layout->count;
  if (count == 0) return;
  const plan p = make_plan(layout, operands, pointers);
  int packed = 0;
  for (int k = 0; k < operands; k++) packed |= p.form[k] == PACKED;
  if (packed && th_for_bands(layout, operands, pointers, loop, context, grain)) return;

  const int parts = th_threads_for((double)count, grain);
  /* Parts begin at a multiple of the chunk, or of a cache line where the whole array is one chunk. */
  const ptrdiff_t unit = p.chunk == count ? 16 : p.chunk, units = th_ceil_div(count, unit);
  TH_PARALLEL_FOR(parts, part, parts, {
    run(&p, layout, operands, pointers, loop, context, th_split(units, part, parts) * unit,
        th_split(units, part + 1, parts) * unit);
  });
}
