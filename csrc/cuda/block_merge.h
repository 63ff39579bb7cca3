/* Merging one value of each thread to one of the block, always in the same order: by shuffles in each warp, then across warps. */
#ifndef TH_CUDA_BLOCK_MERGE_H
#define TH_CUDA_BLOCK_MERGE_H

#include "device.h"

static constexpr int TH_WARP = 32;

/** The value of the lane `distance` above. T is made of whole words. */
template <class T> TH_DEVICE T th_shuffle_down(const T &value, int distance) {
  static_assert(sizeof(T) % sizeof(uint32_t) == 0);
  uint32_t words[sizeof(T) / sizeof(uint32_t)];
  memcpy(words, &value, sizeof value);
#pragma unroll
  for (size_t i = 0; i < sizeof(T) / sizeof(uint32_t); i++)
    words[i] = __shfl_down_sync(0xffffffffu, words[i], distance);
  T result;
  memcpy(&result, words, sizeof result);
  return result;
}

/** In lane 0: all lanes merged. Op has a type `state` and a static function `merge`. */
template <class Op> TH_DEVICE typename Op::state th_warp_merge(typename Op::state value) {
#pragma unroll
  for (int distance = TH_WARP / 2; distance > 0; distance /= 2)
    value = Op::merge(value, th_shuffle_down(value, distance));
  return value;
}

/** In every thread of a one-dimensional block of whole warps: all threads merged. */
template <class Op> TH_DEVICE typename Op::state th_block_merge(typename Op::state value) {
  __shared__ typename Op::state warps[TH_WARP];
  const unsigned lane = threadIdx.x % TH_WARP, warp = threadIdx.x / TH_WARP, count = blockDim.x / TH_WARP;
  value = th_warp_merge<Op>(value);
  __syncthreads(); /* whoever still reads the result of a merge before */
  if (lane == 0) warps[warp] = value;
  __syncthreads();
  if (warp == 0) {
    value = lane < count ? warps[lane] : Op::none();
    value = th_warp_merge<Op>(value);
  }
  __syncthreads();
  if (threadIdx.x == 0) warps[0] = value;
  __syncthreads();
  return warps[0];
}

struct th_sum_floats {
  typedef float state;
  static __device__ __forceinline__ float none() { return 0; }
  static __device__ __forceinline__ float merge(float a, float b) { return a + b; }
};

struct th_sum_doubles {
  typedef double state;
  static __device__ __forceinline__ double none() { return 0; }
  static __device__ __forceinline__ double merge(double a, double b) { return a + b; }
};

/** NaN wins. */
struct th_maximum {
  typedef float state;
  static __device__ __forceinline__ float none() { return -INFINITY; }
  static __device__ __forceinline__ float merge(float a, float b) { return b > a || b != b ? b : a; }
};

#endif
