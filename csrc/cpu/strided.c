/* Packing and unpacking of strided operands: see strided.h. */
#include "parallel.h"
#include "strided.h"

#include <string.h>

enum {
  CHUNK = 512,     /* elements of an operand that is packed */
  LONG_ROW = 256,  /* rows this long are worth a visit each */
  LONGEST = 16384, /* elements of a row in one visit */
};

/* --------------------------------------------------------------------------------------- pack and unpack */

/** buffer[i · buffer_step] = row[i · stride], or, `unpack`, the other way round. */
TH_INLINE void copy_row(th_word *buffer, th_word *row, ptrdiff_t stride, ptrdiff_t n, int unpack) {
  if (unpack) {
    if (stride == 1) memcpy(row, buffer, (size_t)n * sizeof *row);
    else
      for (ptrdiff_t i = 0; i < n; i++) row[i * stride] = buffer[i];
  } else if (stride == 1) {
    for (ptrdiff_t i = 0; i < n; i++) buffer[i] = row[i];
  } else if (stride == 0) {
    for (ptrdiff_t i = 0; i < n; i++) buffer[i] = *row;
  } else if (stride == 2) { /* a constant: the compiler shuffles vectors */
    for (ptrdiff_t i = 0; i < n; i++) buffer[i] = row[2 * i];
  } else {
    for (ptrdiff_t i = 0; i < n; i++) buffer[i] = row[i * stride];
  }
}

/** Moves elements start … start + n - 1 (linear order) of operand k between `buffer` and `array`. */
static void copy_elements(th_word *buffer, th_word *array, const th_layout *layout, int k, ptrdiff_t start, ptrdiff_t n,
                          int unpack) {
  const int inner = layout->ndim - 1;
  if (inner < 0) {
    copy_row(buffer, array, 1, n, unpack);
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
    copy_row(buffer, row, stride[inner], length, unpack);
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
  int direct[TH_MAX_OPERANDS]; /* contiguous: the loop gets the array itself */
  int once[TH_MAX_OPERANDS];   /* the same in every chunk: packed once */
  ptrdiff_t chunk;
  ptrdiff_t of_row; /* chunks of a row of the last axis, where they end with it; else 0 */
} plan;

/** Long rows are visited one by one: of an operand that is contiguous along them nothing is packed. */
static void plan_rows(plan *p, const th_layout *layout, int operands) {
  const int inner = layout->ndim - 1;
  p->chunk = LONGEST;
  for (int k = 0; k < operands; k++) {
    p->direct[k] = layout->stride[k][inner] == 1;
    if (!p->direct[k]) p->chunk = CHUNK;
  }
  p->of_row = (layout->shape[inner] + p->chunk - 1) / p->chunk;
}

static plan make_plan(const th_layout *layout, int operands) {
  plan p = {.chunk = CHUNK};
  int packed = 0;
  for (int k = 0; k < operands; k++) {
    p.direct[k] = th_is_contiguous(layout, k);
    packed |= !p.direct[k];
  }
  if (!packed) p.chunk = layout->count;
  for (int k = 1; k < operands; k++) {
    const ptrdiff_t period = period_of(layout, k);
    if (p.direct[k] || period > p.chunk) continue;
    p.once[k] = 1;
    p.chunk -= p.chunk % period;
  }
  int all_good = 1;
  for (int k = 0; k < operands; k++) {
    p.once[k] = p.once[k] && p.chunk % period_of(layout, k) == 0;
    all_good &= p.direct[k] || p.once[k];
  }
  if (!all_good && layout->ndim > 1 && layout->shape[layout->ndim - 1] >= LONG_ROW) plan_rows(&p, layout, operands);
  return p;
}

/** Elements `from` to `to` - 1, of those that there are. */
static void run_range(const plan *p, const th_layout *layout, int operands, void *const pointers[], th_chunk_loop loop,
                      const void *context, ptrdiff_t from, ptrdiff_t to) {
  _Alignas(64) th_word buffers[TH_MAX_OPERANDS][CHUNK];
  int ready[TH_MAX_OPERANDS] = {0};
  const ptrdiff_t end = to < layout->count ? to : layout->count;
  for (ptrdiff_t start = from; start < end; start += p->chunk) {
    const ptrdiff_t n = end - start < p->chunk ? end - start : p->chunk;
    void *arguments[TH_MAX_OPERANDS] = {0};
    for (int k = 0; k < operands; k++) {
      arguments[k] = p->direct[k] ? (th_word *)pointers[k] + start : buffers[k];
      if (k == 0 || p->direct[k] || ready[k]) continue;
      copy_elements(buffers[k], pointers[k], layout, k, start, n, 0);
      ready[k] = p->once[k];
    }
    loop(arguments[0], arguments[1], arguments[2], n, context);
    if (!p->direct[0]) copy_elements(buffers[0], pointers[0], layout, 0, start, n, 1);
  }
}

/** Chunks `from` to `to` - 1 of all rows. */
static void run_rows(const plan *p, const th_layout *layout, int operands, void *const pointers[], th_chunk_loop loop,
                     const void *context, ptrdiff_t from, ptrdiff_t to) {
  _Alignas(64) th_word buffers[TH_MAX_OPERANDS][CHUNK];
  const int inner = layout->ndim - 1;
  for (ptrdiff_t i = from; i < to; i++) {
    const ptrdiff_t start = i % p->of_row * p->chunk, left = layout->shape[inner] - start;
    const ptrdiff_t n = left < p->chunk ? left : p->chunk;
    th_word *at[TH_MAX_OPERANDS];
    void *arguments[TH_MAX_OPERANDS] = {0};
    for (int k = 0; k < operands; k++) at[k] = (th_word *)pointers[k] + start * layout->stride[k][inner];
    ptrdiff_t rest = i / p->of_row;
    for (int axis = inner - 1; axis >= 0; rest /= layout->shape[axis--])
      for (int k = 0; k < operands; k++) at[k] += rest % layout->shape[axis] * layout->stride[k][axis];
    for (int k = 0; k < operands; k++) {
      arguments[k] = p->direct[k] ? at[k] : buffers[k];
      const int has_it = layout->stride[k][inner] == 0 && start > 0 && i > from; /* from the chunk before */
      if (k > 0 && !p->direct[k] && !has_it) copy_row(buffers[k], at[k], layout->stride[k][inner], n, 0);
    }
    loop(arguments[0], arguments[1], arguments[2], n, context);
    if (!p->direct[0]) copy_row(buffers[0], at[0], layout->stride[0][inner], n, 1);
  }
}

static void run(const plan *p, const th_layout *layout, int operands, void *const pointers[], th_chunk_loop loop,
                const void *context, ptrdiff_t from, ptrdiff_t to) {
  (p->of_row ? run_rows : run_range)(p, layout, operands, pointers, loop, context, from, to);
}

void th_for_chunks(const th_layout *layout, int operands, void *const pointers[], th_chunk_loop loop,
                   const void *context, double grain) {
  const ptrdiff_t count = layout->count;
  if (count == 0) return;
  const plan p = make_plan(layout, operands);
  const int parts = th_threads_for((double)count, grain);
  /* Parts begin at a multiple of the chunk, or of a cache line where the whole array is one chunk. */
  const ptrdiff_t unit = p.of_row ? 1 : p.chunk == count ? 16 : p.chunk;
  const ptrdiff_t units = p.of_row ? count / layout->shape[layout->ndim - 1] * p.of_row : (count + unit - 1) / unit;
  TH_PARALLEL_FOR(parts, part, parts, {
    run(&p, layout, operands, pointers, loop, context, th_split(units, part, parts) * unit,
        th_split(units, part + 1, parts) * unit);
  });
}
