/*
 * Optimizer steps over whole parameter lists.
 *
 * A model has many small parameters and a few large ones, so threads split the elements of the whole list, not each
 * array: one fork-join a step. All of it is bound by memory: each array is read and written once.
 *
 * Subnormal numbers count as zero. A weight that weight decay alone moves, such as that of a tap which never meets the
 * image, becomes one after some thousand steps, and processors take up to a hundred times as long for each.
 */
#include "parallel.h"
#include "strided.h"

#include <math.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

static const double GRAIN = 16384; /* elements worth a thread */

enum { MAX_ARRAYS = 5 };

/** n elements at arrays[0 …]: a stretch of one row of the table. */
typedef void (*stretch)(float *const arrays[], ptrdiff_t n, const void *context);

static ptrdiff_t total_of(const double *table, int32_t count, int arrays) {
  ptrdiff_t total = 0;
  for (int32_t row = 0; row < count; row++) total += (ptrdiff_t)table[row * (arrays + 1) + arrays];
  return total;
}

/** Applies `step` to elements from … to - 1 of the list that `table` describes: rows of `arrays` pointers and a length. */
static void visit(const double *table, int32_t count, int arrays, ptrdiff_t from, ptrdiff_t to, stretch step,
                  const void *context) {
  for (int32_t row = 0; row < count && to > 0; row++, table += arrays + 1) {
    const ptrdiff_t n = (ptrdiff_t)table[arrays], first = from > 0 ? from : 0, last = to < n ? to : n;
    if (first < last) {
      float *at[MAX_ARRAYS];
      for (int k = 0; k < arrays; k++) at[k] = table[k] == 0 ? NULL : (float *)(uintptr_t)table[k] + first;
      step(at, last - first, context);
    }
    from -= n;
    to -= n;
  }
}

/** Makes this thread take subnormal numbers as zero; gives what restore_subnormals needs. */
static uint64_t ignore_subnormals(void) {
#if defined(__x86_64__)
  const uint64_t before = _mm_getcsr();
  _mm_setcsr((unsigned)before | 0x8040); /* results, operands */
#elif defined(__aarch64__)
  uint64_t before;
  __asm__ volatile("mrs %0, fpcr" : "=r"(before));
  __asm__ volatile("msr fpcr, %0" : : "r"(before | 1u << 24) : "memory");
#else
  const uint64_t before = 0;
#endif
  __asm__ volatile("" : : : "memory"); /* nothing is computed before */
  return before;
}

static void restore_subnormals(uint64_t before) {
  __asm__ volatile("" : : : "memory");
#if defined(__x86_64__)
  _mm_setcsr((unsigned)before);
#elif defined(__aarch64__)
  __asm__ volatile("msr fpcr, %0" : : "r"(before) : "memory");
#else
  (void)before;
#endif
}

static void visit_all(const double *table, int32_t count, int arrays, stretch step, const void *context) {
  const ptrdiff_t total = total_of(table, count, arrays);
  const int parts = th_threads_for((double)total, GRAIN);
  TH_PARALLEL_FOR(parts, part, parts, {
    const uint64_t mode = ignore_subnormals();
    visit(table, count, arrays, th_split(total, part, parts), th_split(total, part + 1, parts), step, context);
    restore_subnormals(mode);
  });
}

/* ---------------------------------------------------------------------------------------------------- sgd */

typedef struct {
  float lr, momentum, weight_decay;
  int nesterov;
} sgd_options;

static void sgd_step(float *const arrays[], ptrdiff_t n, const void *context) {
  const sgd_options o = *(const sgd_options *)context;
  float *restrict p = arrays[0], *restrict buffer = arrays[2];
  const float *restrict g = arrays[1];
  if (!buffer) {
#pragma omp simd
    for (ptrdiff_t i = 0; i < n; i++) p[i] -= o.lr * (g[i] + o.weight_decay * p[i]);
    return;
  }
#pragma omp simd
  for (ptrdiff_t i = 0; i < n; i++) {
    const float gradient = g[i] + o.weight_decay * p[i], moved = o.momentum * buffer[i] + gradient;
    buffer[i] = moved;
    p[i] -= o.lr * (o.nesterov ? gradient + o.momentum * moved : moved);
  }
}

int32_t th_sgd(const double *host_table, int32_t count, double lr, double momentum, double weight_decay,
               int32_t nesterov) {
  const sgd_options o = {(float)lr, (float)momentum, (float)weight_decay, nesterov};
  visit_all(host_table, count, 3, sgd_step, &o);
  return TH_STATUS_OK;
}

/* --------------------------------------------------------------------------------------------------- adam */

typedef struct {
  float beta1, beta2, rest1, rest2, eps;
  float weight_decay, keep;     /* what goes into the gradient, and what stays of the parameter */
  float step, root_correction2; /* lr / correction1, 1 / √correction2 */
} adam_options;

static void adam_step(float *const arrays[], ptrdiff_t n, const void *context) {
  const adam_options o = *(const adam_options *)context;
  float *restrict p = arrays[0], *restrict m = arrays[2], *restrict v = arrays[3];
  const float *restrict gradient = arrays[1];
#pragma omp simd
  for (ptrdiff_t i = 0; i < n; i++) {
    const float g = gradient[i] + o.weight_decay * p[i];
    const float first = o.beta1 * m[i] + o.rest1 * g, second = o.beta2 * v[i] + o.rest2 * (g * g);
    m[i] = first;
    v[i] = second;
    p[i] = o.keep * p[i] - o.step * first / (sqrtf(second) * o.root_correction2 + o.eps);
  }
}

int32_t th_adam(const double *host_table, int32_t count, double lr, double beta1, double beta2, double eps,
                double weight_decay, int32_t decoupled, double correction1, double correction2) {
  const adam_options o = {(float)beta1,
                          (float)beta2,
                          (float)(1 - beta1),
                          (float)(1 - beta2),
                          (float)eps,
                          decoupled ? 0 : (float)weight_decay,
                          decoupled ? (float)(1 - lr * weight_decay) : 1,
                          (float)(lr / correction1),
                          (float)(1 / sqrt(correction2))};
  visit_all(host_table, count, 4, adam_step, &o);
  return TH_STATUS_OK;
}

/* ------------------------------------------------------------------------------------------------ rmsprop */

typedef struct {
  float lr, alpha, rest, eps, weight_decay, momentum;
} rmsprop_options;

/** Rounding may make the variance negative; NaN stays NaN. */
TH_INLINE float not_negative(float variance) { return variance < 0 ? 0 : variance; }

TH_INLINE void rmsprop_elements(float *const arrays[], ptrdiff_t n, rmsprop_options o, int moves, int centered) {
  float *restrict p = arrays[0], *restrict squares = arrays[2], *restrict buffer = arrays[3],
                  *restrict mean = arrays[4];
  const float *restrict gradient = arrays[1];
#pragma omp simd
  for (ptrdiff_t i = 0; i < n; i++) {
    const float g = gradient[i] + o.weight_decay * p[i], square = o.alpha * squares[i] + o.rest * (g * g);
    float variance = squares[i] = square;
    if (centered) {
      const float m = mean[i] = o.alpha * mean[i] + o.rest * g;
      variance = not_negative(square - m * m);
    }
    float moved = g / (sqrtf(variance) + o.eps);
    if (moves) moved = buffer[i] = o.momentum * buffer[i] + moved;
    p[i] -= o.lr * moved;
  }
}

static void rmsprop_step(float *const arrays[], ptrdiff_t n, const void *context) {
  const rmsprop_options o = *(const rmsprop_options *)context;
  if (arrays[3] && arrays[4]) rmsprop_elements(arrays, n, o, 1, 1);
  else if (arrays[3]) rmsprop_elements(arrays, n, o, 1, 0);
  else if (arrays[4]) rmsprop_elements(arrays, n, o, 0, 1);
  else rmsprop_elements(arrays, n, o, 0, 0);
}

int32_t th_rmsprop(const double *host_table, int32_t count, double lr, double alpha, double eps, double weight_decay,
                   double momentum) {
  const rmsprop_options o = {(float)lr,  (float)alpha,        (float)(1 - alpha),
                             (float)eps, (float)weight_decay, (float)momentum};
  visit_all(host_table, count, 5, rmsprop_step, &o);
  return TH_STATUS_OK;
}

/* --------------------------------------------------------------------------------------------------- clip */

/** Adds the sum of squares to a double, block by block, so that long lists keep float's precision. */
static void add_squares(float *const arrays[], ptrdiff_t n, const void *context) {
  double *total = *(double *const *)context;
  enum { BLOCK = 4096 };
  for (ptrdiff_t start = 0; start < n; start += BLOCK) {
    const ptrdiff_t length = n - start < BLOCK ? n - start : BLOCK;
    const float *g = arrays[0] + start;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (ptrdiff_t i = 0; i < length; i++) sum += g[i] * g[i];
    *total += (double)sum;
  }
}

static void scale_step(float *const arrays[], ptrdiff_t n, const void *context) {
  const float factor = *(const float *)context;
  float *g = arrays[0];
#pragma omp simd
  for (ptrdiff_t i = 0; i < n; i++) g[i] *= factor;
}

int32_t th_clip_grad_norm(float *norm, const double *host_table, int32_t count, double max_norm) {
  const ptrdiff_t total = total_of(host_table, count, 1);
  const int parts = th_threads_for((double)total, GRAIN);
  double *partial = th_scratch(5, (size_t)parts * sizeof *partial);
  if (!partial) return TH_STATUS_OUT_OF_MEMORY;
  TH_PARALLEL_FOR(parts, part, parts, {
    double sum = 0, *const context = &sum;
    visit(host_table, count, 1, th_split(total, part, parts), th_split(total, part + 1, parts), add_squares, &context);
    partial[part] = sum;
  });
  double squares = 0;
  for (int part = 0; part < parts; part++) squares += partial[part];
  *norm = (float)sqrt(squares);
  const float factor = (float)(max_norm / (sqrt(squares) + 1e-6));
  if (!(factor >= 1)) visit_all(host_table, count, 1, scale_step, &factor);
  return TH_STATUS_OK;
}
