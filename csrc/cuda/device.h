/*
 * What every .cu file includes first: launches, work space, and errors.
 *
 * All work is in one stream, so kernels and copies happen in the order of the calls, and memory that is freed may be used
 * again by the next call without waiting. Nothing waits for the device but th_download and a full staging buffer.
 * The same files compile against csrc/emulator, whose cuda_runtime.h runs kernels on the CPU.
 */
#ifndef TH_CUDA_DEVICE_H
#define TH_CUDA_DEVICE_H

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "../common/status.h"
#include "../thimble.h"

#define TH_DEVICE static __device__ __forceinline__

/** Returns from the calling function with a status that is not OK. */
#define TH_TRY(call)                                                                                                   \
  do {                                                                                                                 \
    const int32_t status_ = (call);                                                                                    \
    if (status_ != TH_STATUS_OK) return status_;                                                                       \
  } while (0)

/** The stream of all kernels and copies. */
cudaStream_t th_stream();
/** Multiprocessors of the device. */
int th_multiprocessors();
/** The status of a CUDA call; th_last_error says what failed. */
int32_t th_cuda_status(cudaError_t error, const char *what);

static constexpr int TH_BLOCK = 256;

static inline unsigned th_ceil_div(int64_t a, int64_t b) { return (unsigned)((a + b - 1) / b); }

/** Blocks for a loop over n elements in steps of the whole grid: enough to fill the device. */
static inline unsigned th_blocks_for(int64_t n, int block = TH_BLOCK) {
  const unsigned most = 16 * (unsigned)th_multiprocessors(), wanted = th_ceil_div(n, block);
  return wanted < most ? wanted : most;
}

/** Launches `kernel`, with `shared` bytes of dynamic shared memory; no blocks or no threads are nothing to do. */
template <class... Parameters, class... Arguments>
int32_t th_launch_shared(const char *name, void (*kernel)(Parameters...), dim3 blocks, dim3 threads, size_t shared,
                         const Arguments &...arguments) {
  if (blocks.x == 0 || threads.x == 0) return TH_STATUS_OK;
#ifdef TH_EMULATED
  emulator::name_next_launch(name);
#endif
  cudaLaunchConfig_t config = {};
  config.gridDim = blocks;
  config.blockDim = threads;
  config.dynamicSmemBytes = shared;
  config.stream = th_stream();
  return th_cuda_status(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), name);
}

template <class... Parameters, class... Arguments>
int32_t th_launch(const char *name, void (*kernel)(Parameters...), dim3 blocks, dim3 threads,
                  const Arguments &...arguments) {
  return th_launch_shared(name, kernel, blocks, threads, 0, arguments...);
}

/** Dynamic shared memory of the block, as T. */
template <class T> TH_DEVICE T *th_shared() {
#ifdef TH_EMULATED
  return reinterpret_cast<T *>(emulator::dynamic_shared);
#else
  extern __shared__ __align__(16) unsigned char th_shared_bytes[];
  return reinterpret_cast<T *>(th_shared_bytes);
#endif
}

/** Memory for the length of a call, from the caching allocator; kernels that were launched may still use it afterwards,
    since whoever gets it next uses it later in the same stream. */
template <class T> class th_workspace {
public:
  explicit th_workspace(int64_t count) : memory_(static_cast<T *>(th_alloc((double)count * sizeof(T)))) {}
  ~th_workspace() { th_free(memory_); }
  th_workspace(const th_workspace &) = delete;
  th_workspace &operator=(const th_workspace &) = delete;
  operator T *() const { return memory_; }
  /** TH_STATUS_OUT_OF_MEMORY where there was none. */
  int32_t status(const char *operation) const {
    return memory_ ? TH_STATUS_OK
                   : th_fail(TH_STATUS_OUT_OF_MEMORY, "%s: no device memory for its work space", operation);
  }

private:
  T *memory_;
};

#endif
