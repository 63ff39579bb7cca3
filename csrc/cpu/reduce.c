/*
 * Sum, maximum, minimum and log-sum-exp of float32 over any axes; the rest is in scan.c.
 *
 * Memory order decides how a reduction runs, not its logical shape. Reduced axes are sorted by stride and merged. Where
 * the innermost is contiguous, each output sums rows of memory; where an axis that is kept is contiguous instead, a block
 * of outputs is summed column-wise, row upon row; other strides are packed into a buffer first. All three accumulate
 * floats over a bounded number of elements and doubles beyond that.
 *
 * Threads share the outputs when there are enough, else the outermost reduced axis, whose partial results are combined
 * in order: no atomics, and the same result on every run with the same number of threads.
 */
#include "parallel.h"
#include "rows.h"
#include "scan.h"
#include "strided.h"

#include <string.h>

enum {
  COLUMNS = 256, /* outputs summed side by side: their sums, 1 KB, stay in the L1 cache */
  PACKED = 512,  /* elements of a row that are brought together at a time */
  FLUSH = 64,    /* rows added up as floats, before these are added to doubles */
};
static const double GRAIN = 16384; /* elements worth a thread */

typedef enum { SUM, MAX, MIN, EXP_SUM } kind;

typedef struct {
  kind kind;
  const float *in, *shift; /* EXP_SUM subtracts shift[output] */
  th_layout kept, reduced; /* kept without the column axis; its operand 1 is the output */
  ptrdiff_t columns, step; /* the column axis, and its stride in the output */
  ptrdiff_t apart;         /* its stride in `in`: 1 or 2 */
} reduction;

TH_INLINE double combine(kind k, double a, double b) {
  if (k == MAX) return b > a || b != b ? b : a;
  if (k == MIN) return b < a || b != b ? b : a;
  return a + b;
}
TH_INLINE double neutral(kind k) { return k == MAX ? -INFINITY : k == MIN ? INFINITY : 0; }

/* --------------------------------------------------------------------------------------------------- rows */

TH_INLINE double reduce_row(kind k, const float *x, ptrdiff_t n, float shift) {
  if (k == MAX) return (double)th_row_max(x, n);
  if (k == MIN) return (double)th_row_min(x, n);
  return k == SUM ? th_row_sum(x, n) : th_row_exp_sum(x, n, shift);
}

/** out[i] = x[i · stride]. */
TH_INLINE void gather(float *restrict out, const float *restrict x, ptrdiff_t stride, ptrdiff_t n) {
  if (stride == 2) { /* every second element: two loads and a shuffle */
#pragma omp simd
    for (ptrdiff_t i = 0; i < n; i++) out[i] = x[2 * i];
  } else {
    for (ptrdiff_t i = 0; i < n; i++) out[i] = x[i * stride];
  }
}

static double reduce_strided(kind k, const float *x, ptrdiff_t n, ptrdiff_t stride, float shift) {
  if (stride == 1) return reduce_row(k, x, n, shift);
  double total = neutral(k);
  float packed[PACKED];
  for (ptrdiff_t start = 0; start < n; start += PACKED) {
    const ptrdiff_t length = n - start < PACKED ? n - start : PACKED;
    gather(packed, x + start * stride, stride, length);
    total = combine(k, total, reduce_row(k, packed, length, shift));
  }
  return total;
}

/** The output whose elements begin at x. */
static double reduce_one(const reduction *r, const float *x, float shift) {
  const int inner = r->reduced.ndim - 1;
  if (inner < 0) return reduce_row(r->kind, x, r->reduced.count, shift);
  const ptrdiff_t n = r->reduced.shape[inner], rows = r->reduced.count / n;
  double total = neutral(r->kind);
  for (ptrdiff_t row = 0; row < rows; row++) {
    const float *at = x + th_offset(&r->reduced, 0, row * n);
    total = combine(r->kind, total, reduce_strided(r->kind, at, n, r->reduced.stride[0][inner], shift));
  }
  return total;
}

/* ------------------------------------------------------------------------------------------------ columns */

/** sums[j] (op)= x[row · stride + j] for up to FLUSH rows. */
TH_INLINE void add_rows(kind k, float *restrict sums, const float *restrict x, ptrdiff_t rows, ptrdiff_t stride,
                        ptrdiff_t n, const float *restrict shift) {
  ptrdiff_t row = 0;
  if (k == SUM)
    for (; row + 4 <= rows; row += 4, x += 4 * stride)
#pragma omp simd
      for (ptrdiff_t j = 0; j < n; j++) sums[j] += (x[j] + x[stride + j]) + (x[2 * stride + j] + x[3 * stride + j]);
  for (; row < rows; row++, x += stride)
#pragma omp simd
    for (ptrdiff_t j = 0; j < n; j++) {
      if (k == SUM) sums[j] += x[j];
      if (k == MAX) sums[j] = x[j] > sums[j] || x[j] != x[j] ? x[j] : sums[j];
      if (k == MIN) sums[j] = x[j] < sums[j] || x[j] != x[j] ? x[j] : sums[j];
      if (k == EXP_SUM) sums[j] += th_expf(x[j] - shift[j]);
    }
}

/** Adds `rows` rows of n columns to totals. Narrow contiguous rows are taken several at a time, as one wide row. */
TH_INLINE void add_columns_of(kind k, double *totals, const float *x, ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t n,
                              const float *shift) {
  const ptrdiff_t group = stride == n && 2 * n <= COLUMNS && k != EXP_SUM ? COLUMNS / n : 1, width = group * n;
  while (rows > 0) {
    const ptrdiff_t whole = rows / group, block = whole < FLUSH ? whole : FLUSH;
    const ptrdiff_t length = block > 0 ? width : rows * n; /* the last rows do not fill a group */
    float sums[COLUMNS];
    for (ptrdiff_t j = 0; j < length; j++) sums[j] = (float)neutral(k);
    add_rows(k, sums, x, block > 0 ? block : 1, group * stride, length, shift);
    for (ptrdiff_t start = 0; start < length; start += n)
      for (ptrdiff_t j = 0; j < n; j++) totals[j] = combine(k, totals[j], (double)sums[start + j]);
    const ptrdiff_t taken = block > 0 ? block * group : rows;
    rows -= taken;
    x += taken * stride;
  }
}

static void add_columns(kind k, double *totals, const float *x, ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t n,
                        const float *shift) {
  if (k == SUM) add_columns_of(SUM, totals, x, rows, stride, n, shift);
  if (k == MAX) add_columns_of(MAX, totals, x, rows, stride, n, shift);
  if (k == MIN) add_columns_of(MIN, totals, x, rows, stride, n, shift);
  if (k == EXP_SUM) add_columns_of(EXP_SUM, totals, x, rows, stride, n, shift);
}

/** The same for columns 2 apart: a few rows at a time are brought together. */
static void add_spread_columns(kind k, double *totals, const float *x, ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t n,
                               const float *shift) {
  enum { ROWS = 8 };
  float packed[ROWS * COLUMNS];
  for (ptrdiff_t row = 0; row < rows; row += ROWS, x += ROWS * stride) {
    const ptrdiff_t block = rows - row < ROWS ? rows - row : ROWS;
    for (ptrdiff_t i = 0; i < block; i++) gather(packed + i * COLUMNS, x + i * stride, 2, n);
    add_columns(k, totals, packed, block, COLUMNS, n, shift);
  }
}

/** n outputs whose first elements are x[0], x[apart], … */
static void reduce_columns(const reduction *r, double *totals, const float *x, ptrdiff_t n, const float *shift) {
  float shifts[COLUMNS] = {0};
  if (shift)
    for (ptrdiff_t j = 0; j < n; j++) shifts[j] = shift[j * r->step];
  for (ptrdiff_t j = 0; j < n; j++) totals[j] = neutral(r->kind);
  const int inner = r->reduced.ndim - 1;
  const ptrdiff_t rows = inner < 0 ? r->reduced.count : r->reduced.shape[inner];
  const ptrdiff_t stride = inner < 0 ? 0 : r->reduced.stride[0][inner];
  for (ptrdiff_t row = 0; row < r->reduced.count; row += rows) {
    const float *at = x + th_offset(&r->reduced, 0, row);
    if (r->apart == 1) add_columns(r->kind, totals, at, rows, stride, n, shifts);
    else add_spread_columns(r->kind, totals, at, rows, stride, n, shifts);
  }
}

/* -------------------------------------------------------------------------------------------------- tasks */

/** Outputs of one contiguous row each, a fixed step apart. */
static void reduce_rows(const reduction *r, double *out, ptrdiff_t from, ptrdiff_t to) {
  const ptrdiff_t n = r->reduced.count, step = r->kept.ndim == 0 ? 0 : r->kept.stride[0][0];
  for (ptrdiff_t i = from; i < to; i++) out[i] = reduce_row(r->kind, r->in + i * step, n, r->shift ? r->shift[i] : 0);
}

/* A task is one position of the kept axes and one block of columns. */

static ptrdiff_t blocks_of(const reduction *r) { return th_ceil_div(r->columns, COLUMNS); }
static ptrdiff_t tasks_of(const reduction *r) { return r->kept.count * blocks_of(r); }

/** Reduces tasks from … to - 1 into out: totals for each output. */
static void run_tasks(const reduction *r, double *out, ptrdiff_t from, ptrdiff_t to) {
  if (r->columns == 1 && r->kept.ndim <= 1 && r->reduced.ndim == 1 && r->reduced.stride[0][0] == 1) {
    reduce_rows(r, out, from, to);
    return;
  }
  const ptrdiff_t blocks = blocks_of(r);
  for (ptrdiff_t task = from; task < to; task++) {
    const ptrdiff_t column = task % blocks * COLUMNS, left = r->columns - column;
    const float *x = r->in + th_offset(&r->kept, 0, task / blocks) + column * r->apart;
    const ptrdiff_t at = th_offset(&r->kept, 1, task / blocks) + column * r->step;
    const float *shift = r->shift ? r->shift + at : NULL;
    if (r->columns == 1) {
      out[at] = reduce_one(r, x, shift ? *shift : 0);
      continue;
    }
    double totals[COLUMNS];
    const ptrdiff_t n = left < COLUMNS ? left : COLUMNS;
    reduce_columns(r, totals, x, n, shift);
    for (ptrdiff_t j = 0; j < n; j++) out[at + j * r->step] = totals[j];
  }
}

/** The reduction of the part's share of the outermost reduced axis. */
static reduction slice(const reduction *r, int part, int parts) {
  reduction s = *r;
  const ptrdiff_t size = r->reduced.shape[0], from = th_split(size, part, parts), to = th_split(size, part + 1, parts);
  s.in += from * r->reduced.stride[0][0];
  s.reduced.shape[0] = to - from;
  s.reduced.count = r->reduced.count / size * (to - from);
  return s;
}

/** totals[outputs] of the whole reduction. */
static int run(const reduction *r, double *totals, ptrdiff_t outputs) {
  const ptrdiff_t tasks = tasks_of(r);
  int parts = th_threads_for((double)outputs * (double)r->reduced.count, r->kind == EXP_SUM ? GRAIN / 4 : GRAIN);
  if (parts == 1 || tasks >= parts || r->reduced.ndim == 0) {
    TH_PARALLEL_FOR(parts, part, parts,
                    { run_tasks(r, totals, th_split(tasks, part, parts), th_split(tasks, part + 1, parts)); });
    return 1;
  }
  if (parts > r->reduced.shape[0]) parts = (int)r->reduced.shape[0];
  double *partial = th_scratch(6, (size_t)(parts * outputs) * sizeof *partial);
  if (!partial) return 0;
  TH_PARALLEL_FOR(parts, part, parts, {
    const reduction share = slice(r, part, parts);
    run_tasks(&share, partial + part * outputs, 0, tasks);
  });
  for (ptrdiff_t i = 0; i < outputs; i++) {
    double total = neutral(r->kind);
    for (int part = 0; part < parts; part++) total = combine(r->kind, total, partial[part * outputs + i]);
    totals[i] = total;
  }
  return 1;
}

/* ------------------------------------------------------------------------------------------------- kernel */

/** Chooses the column axis: a kept axis whose elements are 1 or 2 apart, unless those of the innermost reduced one are closer. */
static void choose_columns(reduction *r) {
  th_layout *kept = &r->kept;
  th_set_contiguous(kept, 1);
  r->columns = r->step = r->apart = 1;
  const int inner = r->reduced.ndim - 1;
  for (ptrdiff_t apart = 1; apart <= 2; apart++) {
    if (inner >= 0 && r->reduced.stride[0][inner] == apart) return;
    for (int axis = 0; axis < kept->ndim; axis++)
      if (kept->stride[0][axis] == apart) {
        r->columns = kept->shape[axis];
        r->step = kept->stride[1][axis];
        r->apart = apart;
        th_remove_axis(kept, axis);
        return;
      }
  }
}

static int32_t reduce_float(float *out, const float *in, const int32_t *layout, int32_t reduced, int32_t op,
                            double scale) {
  const int kept = layout[0] - reduced;
  reduction r = {
      .in = in, .kept = th_read_layout(layout, 1, 0, kept), .reduced = th_read_layout(layout, 1, kept, layout[0])};
  const ptrdiff_t outputs = r.kept.count;
  if (outputs == 0) return TH_STATUS_OK;
  if (r.reduced.count == 0) { /* an empty sum */
    memset(out, 0, (size_t)outputs * sizeof *out);
    return TH_STATUS_OK;
  }
  th_sort_axes(&r.reduced, 1);
  choose_columns(&r);

  double *totals = th_scratch(5, (size_t)outputs * sizeof *totals);
  float *max = op == TH_REDUCE_LOG_SUM_EXP ? th_scratch(7, (size_t)outputs * sizeof *max) : NULL;
  if (!totals || (op == TH_REDUCE_LOG_SUM_EXP && !max)) return TH_STATUS_OUT_OF_MEMORY;

  r.kind = op == TH_REDUCE_SUM ? SUM : op == TH_REDUCE_MIN ? MIN : MAX;
  if (!run(&r, totals, outputs)) return TH_STATUS_OUT_OF_MEMORY;
  if (op == TH_REDUCE_LOG_SUM_EXP) {
    for (ptrdiff_t i = 0; i < outputs; i++) max[i] = (float)totals[i];
    r.kind = EXP_SUM;
    r.shift = max;
    if (!run(&r, totals, outputs)) return TH_STATUS_OUT_OF_MEMORY;
    for (ptrdiff_t i = 0; i < outputs; i++)
      totals[i] = isfinite(max[i]) ? (double)max[i] + log(totals[i]) : (double)max[i];
  }
  const double factor = op == TH_REDUCE_SUM ? scale : 1;
  for (ptrdiff_t i = 0; i < outputs; i++) out[i] = (float)(totals[i] * factor);
  return TH_STATUS_OK;
}

int32_t th_reduce(void *out, const void *in, const int32_t *layout, int32_t reduced, int32_t op, int32_t dtype,
                  double scale) {
  if (dtype == TH_DTYPE_FLOAT32 && op != TH_REDUCE_ARG_MAX && op != TH_REDUCE_ARG_MIN)
    return reduce_float(out, in, layout, reduced, op, scale);
  th_scan(out, in, layout, reduced, op, dtype);
  return TH_STATUS_OK;
}
