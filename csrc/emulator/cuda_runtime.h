/*
 * The part of the CUDA runtime that csrc/cuda uses, on the CPU: the .cu files are compiled as C++ with this folder in front
 * of the include path, so that they run where there is no GPU. See block.h for how the threads of a block run.
 *
 * A kernel is a function. __shared__ is plain static memory, since blocks run one after another. Device memory is host
 * memory of exactly the size asked for, which AddressSanitizer guards; it is filled with NaN.
 */
#ifndef TH_EMULATOR_CUDA_RUNTIME_H
#define TH_EMULATOR_CUDA_RUNTIME_H

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __restrict__ __restrict

/* --------------------------------------------------------------------------------------------------- vectors */

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint3 {
  unsigned x, y, z;
};
/** A copy constructor of its own lets UndefinedBehaviorSanitizer see a misaligned load. */
struct alignas(16) float4 {
  float x, y, z, w;
  float4() = default;
  float4(float x_, float y_, float z_, float w_) : x(x_), y(y_), z(z_), w(w_) {}
  float4(const float4 &o) : x(o.x), y(o.y), z(o.z), w(o.w) {}
  float4 &operator=(const float4 &) = default;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

/* --------------------------------------------------------------------------------- what a thread of a block sees */

extern uint3 blockIdx;
extern dim3 blockDim, gridDim;

namespace emulator {
struct thread {
  uint3 index;
  unsigned lane, warp; /* in its block */
};
/** The thread that runs now, and the dynamic shared memory of its block. */
extern thread *current;
extern char *dynamic_shared;

void barrier(int line);
int barrier_any(int predicate, int line);
void warp_barrier(unsigned mask, int line);
/** What lane `source` of the calling thread's warp gives, once all lanes in `mask` give something. */
uint64_t shuffle(uint64_t value, unsigned mask, int source, int line);
/** Makes the launch fail with this text. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

template <class T> T shuffle_from(unsigned mask, T value, int source, int line) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  bits = shuffle(bits, mask, source, line);
  memcpy(&value, &bits, sizeof value);
  return value;
}
inline int lane() { return (int)current->lane; }
inline int down(int distance) { return lane() + distance > 31 ? lane() : lane() + distance; }
inline int up(int distance) { return lane() < distance ? lane() : lane() - distance; }
} // namespace emulator

#define threadIdx (emulator::current->index)
#define warpSize 32
#define __syncthreads() emulator::barrier(__LINE__)
#define __syncthreads_or(predicate) emulator::barrier_any(predicate, __LINE__)
#define __syncwarp() emulator::warp_barrier(0xffffffffu, __LINE__)
#define __shfl_sync(mask, value, lane) emulator::shuffle_from(mask, value, (lane)&31, __LINE__)
#define __shfl_xor_sync(mask, value, bits)                                                                             \
  emulator::shuffle_from(mask, value, (emulator::lane() ^ (bits)) & 31, __LINE__)
#define __shfl_down_sync(mask, value, distance)                                                                        \
  emulator::shuffle_from(mask, value, emulator::down((int)(distance)), __LINE__)
#define __shfl_up_sync(mask, value, distance)                                                                          \
  emulator::shuffle_from(mask, value, emulator::up((int)(distance)), __LINE__)

inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
inline void __threadfence_system() {} /* one OS thread sees its own writes in order */
template <class T> T atomicAdd(T *address, T value) {
  static_assert(std::is_integral_v<T>, "a sum of floats by atomics depends on their order");
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
template <class T> T atomicCAS(T *address, T expected, T desired) {
  __atomic_compare_exchange_n(address, &expected, desired, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
using std::isfinite;

/* ------------------------------------------------------------------------------------------------- runtime API */

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidDevice = 101,
  cudaErrorNotReady = 600,
  cudaErrorLaunchFailure = 719,
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum {
  cudaStreamNonBlocking = 1,
  cudaEventDisableTiming = 2,
  cudaHostAllocDefault = 0,
  cudaHostAllocMapped = 2,
};
typedef struct emulated_stream *cudaStream_t;
typedef struct emulated_event *cudaEvent_t;

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem;
  int major, minor, multiProcessorCount;
};
struct cudaLaunchAttribute;
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute *attrs;
  unsigned numAttrs;
};

cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaMalloc(void **pointer, size_t bytes);
cudaError_t cudaFree(void *pointer);
cudaError_t cudaHostAlloc(void **pointer, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void *pointer);
cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned flags);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaDeviceSynchronize();

namespace emulator {
/** Names the kernel of the next launch for reports. */
void name_next_launch(const char *name);
/** Checks the limits of a launch, and that a pointer argument is memory of the device. */
cudaError_t check_launch(const cudaLaunchConfig_t &config);
bool check_pointer(const void *pointer, int argument);
cudaError_t enqueue_launch(const cudaLaunchConfig_t &config, std::function<void()> body);

template <class T> bool check_argument(const T &value, int argument) {
  if constexpr (std::is_pointer_v<T>) return check_pointer((const void *)value, argument);
  return true;
}
} // namespace emulator

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(Parameters...),
                               Arguments &&...arguments) {
  const cudaError_t error = emulator::check_launch(*config);
  if (error != cudaSuccess) return error;
  std::tuple<std::decay_t<Parameters>...> copied{std::decay_t<Parameters>(arguments)...};
  int position = 0;
  const bool pass =
      std::apply([&](const auto &...values) { return (emulator::check_argument(values, position++) && ...); }, copied);
  if (!pass) return cudaErrorInvalidValue;
  return emulator::enqueue_launch(*config, [kernel, copied] { std::apply(kernel, copied); });
}

#endif
