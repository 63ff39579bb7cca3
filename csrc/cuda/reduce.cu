/*
 * Reductions over any axes of any layout.
 *
 * The elements of an output are shared by 1, 32 or 256 lanes: one where outputs and not reduced elements are neighbours in
 * memory, so that a warp reads 32 outputs at once. Where that leaves the device empty, elements are split over blocks
 * too, and a second kernel merges the parts. Everything is merged in a fixed order, without atomics.
 */
#include "block_merge.h"
#include "strided.h"

#include <cmath>

namespace {

/* ---------------------------------------------------------------------------------------------- operations */

/* A state is made of whole words, all of them set. add(state, x, i) takes element i. */

struct sum {
  typedef float in, out;
  /** Floats over a few elements, doubles beyond. */
  struct state {
    double total;
    float part;
    uint32_t terms;
  };
  static __device__ state none() { return {0, 0, 0}; }
  static __device__ void add(state &s, float x, uint32_t) {
    s.part += x;
    if (++s.terms % 16) return;
    s.total += (double)s.part;
    s.part = 0;
  }
  static __device__ state merge(state a, state b) { return {total(a) + total(b), 0, 0}; }
  static __device__ double total(const state &s) { return s.total + (double)s.part; }
  static __device__ float finish(const state &s, double scale) { return (float)(total(s) * scale); }
};

struct maximum {
  typedef float in, out, state;
  static __device__ float none() { return -INFINITY; }
  static __device__ void add(float &s, float x, uint32_t) { s = merge(s, x); }
  static __device__ float merge(float a, float b) { return b > a || b != b ? b : a; }
  static __device__ float finish(float s, double) { return s; }
};

struct minimum {
  typedef float in, out, state;
  static __device__ float none() { return INFINITY; }
  static __device__ void add(float &s, float x, uint32_t) { s = merge(s, x); }
  static __device__ float merge(float a, float b) { return b < a || b != b ? b : a; }
  static __device__ float finish(float s, double) { return s; }
};

struct log_sum_exp {
  typedef float in, out;
  /** sum is that of e^(x - max); zero where max is not finite. */
  struct state {
    double sum;
    float max;
    uint32_t unused;
  };
  static __device__ state none() { return {0, -INFINITY, 0}; }
  static __device__ void add(state &s, float x, uint32_t) {
    if (x <= s.max && isfinite(s.max)) s.sum += (double)expf(x - s.max);
    else s = merge(s, {1, x, 0});
  }
  static __device__ state merge(state a, state b) {
    const float max = maximum::merge(a.max, b.max);
    if (!isfinite(max)) return {0, max, 0};
    return {a.sum * (double)expf(a.max - max) + b.sum * (double)expf(b.max - max), max, 0};
  }
  static __device__ float finish(const state &s, double) {
    return isfinite(s.max) ? (float)((double)s.max + log(s.sum)) : s.max;
  }
};

/** The first maximum, or with LEAST minimum, or first NaN. No index is -1. */
template <class T, bool LEAST> struct arg_extreme {
  typedef T in;
  typedef int32_t out;
  struct state {
    T best;
    int32_t index;
  };
  static __device__ state none() { return {0, -1}; }
  static __device__ bool is_better(const state &a, const state &b) {
    if (a.index < 0 || b.index < 0) return b.index < 0;
    const bool a_nan = a.best != a.best, b_nan = b.best != b.best;
    if (a_nan || b_nan) return a_nan && (!b_nan || a.index < b.index);
    if (a.best == b.best) return a.index < b.index;
    return LEAST ? a.best < b.best : a.best > b.best;
  }
  static __device__ void add(state &s, T x, uint32_t i) { s = merge(s, {x, (int32_t)i}); }
  static __device__ state merge(state a, state b) { return is_better(a, b) ? a : b; }
  static __device__ int32_t finish(const state &s, double) { return s.index; }
};

struct int_sum { /* wraps */
  typedef int32_t in, out;
  typedef uint32_t state;
  static __device__ uint32_t none() { return 0; }
  static __device__ void add(uint32_t &s, int32_t x, uint32_t) { s += (uint32_t)x; }
  static __device__ uint32_t merge(uint32_t a, uint32_t b) { return a + b; }
  static __device__ int32_t finish(uint32_t s, double) { return (int32_t)s; }
};

struct int_maximum {
  typedef int32_t in, out, state;
  static __device__ int32_t none() { return INT32_MIN; }
  static __device__ void add(int32_t &s, int32_t x, uint32_t) { s = merge(s, x); }
  static __device__ int32_t merge(int32_t a, int32_t b) { return a > b ? a : b; }
  static __device__ int32_t finish(int32_t s, double) { return s; }
};

struct int_minimum {
  typedef int32_t in, out, state;
  static __device__ int32_t none() { return INT32_MAX; }
  static __device__ void add(int32_t &s, int32_t x, uint32_t) { s = merge(s, x); }
  static __device__ int32_t merge(int32_t a, int32_t b) { return a < b ? a : b; }
  static __device__ int32_t finish(int32_t s, double) { return s; }
};

/** Whether the answer depends on the logical order of the elements. */
template <class Op> constexpr bool is_ordered = false;
template <class T, bool LEAST> constexpr bool is_ordered<arg_extreme<T, LEAST>> = true;

/* ------------------------------------------------------------------------------------------------- kernels */

/** The value of all lanes that share an output, in the first of them. */
template <class Op, int LANES> TH_DEVICE typename Op::state merge_lanes(typename Op::state s) {
  if constexpr (LANES == TH_BLOCK) return th_block_merge<Op>(s);
  else if constexpr (LANES == TH_WARP) return th_warp_merge<Op>(s);
  else return s;
}

/** Split s of an output takes its elements s · chunk … (s + 1) · chunk - 1. With one split, `out` gets the results. */
template <class Op, int LANES>
__global__ void reduce_elements(typename Op::out *out, typename Op::state *parts, const typename Op::in *in,
                                th_axes<1> kept, th_axes<1> reduced, uint32_t splits, uint32_t chunk, double scale) {
  const uint32_t groups = TH_BLOCK / LANES, outputs = kept.count;
  const uint32_t blocks = (outputs + groups - 1) / groups;
  const uint32_t split = blockIdx.x / blocks, lane = threadIdx.x % LANES;
  const uint32_t output = blockIdx.x % blocks * groups + threadIdx.x / LANES;
  typename Op::state state = Op::none();
  if (output < outputs) {
    int32_t base[1], at[1];
    th_offsets(kept, output, base);
    const uint32_t end = chunk < reduced.count - split * chunk ? (split + 1) * chunk : reduced.count;
    for (uint32_t i = split * chunk + lane; i < end; i += LANES) {
      th_offsets(reduced, i, at);
      Op::add(state, in[base[0] + at[0]], i);
    }
  }
  state = merge_lanes<Op, LANES>(state);
  if (output >= outputs || lane > 0) return;
  if (splits == 1) out[output] = Op::finish(state, scale);
  else parts[output * splits + split] = state;
}

/** One warp an output. */
template <class Op>
__global__ void merge_parts(typename Op::out *out, const typename Op::state *parts, uint32_t outputs, uint32_t splits,
                            double scale) {
  const uint32_t output = blockIdx.x * (TH_BLOCK / TH_WARP) + threadIdx.x / TH_WARP, lane = threadIdx.x % TH_WARP;
  typename Op::state state = Op::none();
  if (output < outputs)
    for (uint32_t i = lane; i < splits; i += TH_WARP) state = Op::merge(state, parts[output * splits + i]);
  state = th_warp_merge<Op>(state);
  if (output < outputs && lane == 0) out[output] = Op::finish(state, scale);
}

template <class Op, int LANES>
int32_t run(typename Op::out *out, const typename Op::in *in, const th_layout &kept, const th_layout &reduced,
            double scale) {
  enum { LEAST = 16 }; /* elements worth a lane */
  const int64_t outputs = kept.count, n = reduced.count, blocks = th_ceil_div(outputs * LANES, TH_BLOCK);
  const int64_t wanted = 8 * th_multiprocessors() / blocks, most = n / (LANES * LEAST);
  int64_t splits = wanted < most ? wanted : most;
  splits = splits < 1 ? 1 : splits;
  const uint32_t chunk = th_ceil_div(n, splits);
  splits = th_ceil_div(n, chunk);
  const th_workspace<typename Op::state> parts(splits > 1 ? outputs * splits : 1);
  TH_TRY(parts.status("reduce"));
  TH_TRY(th_launch("reduce_elements", reduce_elements<Op, LANES>, (unsigned)(blocks * splits), TH_BLOCK, out, parts, in,
                   th_make_axes<1>(kept), th_make_axes<1>(reduced), (uint32_t)splits, chunk, scale));
  if (splits == 1) return TH_STATUS_OK;
  return th_launch("merge_parts", merge_parts<Op>, th_ceil_div(outputs * TH_WARP, TH_BLOCK), TH_BLOCK, out, parts,
                   (uint32_t)outputs, (uint32_t)splits, scale);
}

/** Whether neighbouring outputs, rather than the elements of one output, lie next to each other. */
bool runs_across(const th_layout &kept, const th_layout &reduced) {
  if (reduced.ndim == 0) return true;
  if (reduced.stride[0][reduced.ndim - 1] == 1 || kept.ndim == 0) return false;
  return kept.stride[0][kept.ndim - 1] == 1 && kept.shape[kept.ndim - 1] >= TH_WARP;
}

template <class Op> int32_t reduce(void *out, const void *in, const int32_t *layout, int32_t reduced, double scale) {
  const int split = layout[0] - reduced;
  const th_layout kept = th_read_layout(layout, 1, 0, split);
  th_layout inner = th_read_layout(layout, 1, split, layout[0]);
  if (kept.count == 0) return TH_STATUS_OK;
  if (!is_ordered<Op>) th_sort_axes(&inner, 1);
  const auto to = static_cast<typename Op::out *>(out);
  const auto from = static_cast<const typename Op::in *>(in);
  if (inner.count <= 8 || runs_across(kept, inner)) return run<Op, 1>(to, from, kept, inner, scale);
  if (inner.count <= 1024) return run<Op, TH_WARP>(to, from, kept, inner, scale);
  return run<Op, TH_BLOCK>(to, from, kept, inner, scale);
}

} // namespace

int32_t th_reduce(void *out, const void *in, const int32_t *layout, int32_t reduced, int32_t op, int32_t dtype,
                  double scale) {
  for (int axis = layout[0] - reduced; axis < layout[0]; axis++)
    if (layout[1 + axis] == 0) { /* an empty sum */
      int32_t outputs[] = {1, 1, 1};
      for (int i = 0; i < layout[0] - reduced; i++) outputs[1] *= layout[1 + i];
      return th_fill(out, outputs, 0, dtype);
    }
  const bool is_float = dtype == TH_DTYPE_FLOAT32;
  switch (op) {
  case TH_REDUCE_SUM: return (is_float ? reduce<sum> : reduce<int_sum>)(out, in, layout, reduced, scale);
  case TH_REDUCE_MAX: return (is_float ? reduce<maximum> : reduce<int_maximum>)(out, in, layout, reduced, scale);
  case TH_REDUCE_MIN: return (is_float ? reduce<minimum> : reduce<int_minimum>)(out, in, layout, reduced, scale);
  case TH_REDUCE_ARG_MAX:
    return (is_float ? reduce<arg_extreme<float, false>> : reduce<arg_extreme<int32_t, false>>)(out, in, layout,
                                                                                                reduced, scale);
  case TH_REDUCE_ARG_MIN:
    return (is_float ? reduce<arg_extreme<float, true>> : reduce<arg_extreme<int32_t, true>>)(out, in, layout, reduced,
                                                                                              scale);
  case TH_REDUCE_LOG_SUM_EXP:
    if (is_float) return reduce<log_sum_exp>(out, in, layout, reduced, scale);
  }
  return th_fail(TH_STATUS_UNSUPPORTED, "th_reduce: operation %d does not take dtype %d", op, dtype);
}
