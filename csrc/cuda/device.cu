/* The device, its stream, and the settings that the loader asks for. */
#include "device.h"

#include <cstdio>

#include "index_check.h"
#include "transfer.h"

namespace {

struct {
  bool open;
  int index, multiprocessors;
  cudaStream_t stream;
  char name[48];
} device = {false, 0, 1, nullptr, "cuda"};

int32_t threads = 1;

int32_t unavailable(const char *what, cudaError_t error) {
  cudaGetLastError(); /* or the next launch would report it */
  return th_fail(TH_STATUS_UNSUPPORTED, "%s: %s", what, cudaGetErrorString(error));
}

} // namespace

int32_t th_abi_version(void) { return TH_ABI_VERSION; }

int32_t th_open(int32_t index) {
  int count = 0;
  cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) return unavailable("the CUDA driver gives no device", error);
  if (index < 0 || index >= count)
    return th_fail(TH_STATUS_UNSUPPORTED, "the CUDA driver has %d device%s, so there is no index %d", count,
                   count == 1 ? "" : "s", index);
  if (device.open && device.index != index)
    return th_fail(TH_STATUS_UNSUPPORTED, "this process uses device %d already, and one is all it can use",
                   device.index);
  error = cudaSetDevice(index); /* for the calling thread */
  if (error != cudaSuccess) return unavailable("cudaSetDevice", error);
  if (device.open) return TH_STATUS_OK;

  cudaDeviceProp properties;
  error = cudaGetDeviceProperties(&properties, index);
  if (error != cudaSuccess) return unavailable("cudaGetDeviceProperties", error);
#ifdef TH_EMULATED
  snprintf(device.name, sizeof device.name, "cuda:%d (emulated)", index);
#else
  if (properties.major * 10 + properties.minor < 75)
    return th_fail(TH_STATUS_UNSUPPORTED, "%s has compute capability %d.%d; 7.5 is the least", properties.name,
                   properties.major, properties.minor);
  snprintf(device.name, sizeof device.name, "cuda:%d", index);
#endif
  error = cudaStreamCreateWithFlags(&device.stream, cudaStreamNonBlocking);
  if (error != cudaSuccess) return unavailable("cudaStreamCreate", error);
  device.index = index;
  device.multiprocessors = properties.multiProcessorCount;
  TH_TRY(th_open_staging());
  TH_TRY(th_open_index_check());
  device.open = true;
  return TH_STATUS_OK;
}

const char *th_device_name(void) { return device.name; }

cudaStream_t th_stream() { return device.stream; }
int th_multiprocessors() { return device.multiprocessors; }

int32_t th_cuda_status(cudaError_t error, const char *what) {
  if (error == cudaSuccess) return TH_STATUS_OK;
  cudaGetLastError();
  if (error == cudaErrorMemoryAllocation)
    return th_fail(TH_STATUS_OUT_OF_MEMORY, "%s: %s", what, cudaGetErrorString(error));
  return th_fail(TH_STATUS_DEVICE, "%s: %s", what, cudaGetErrorString(error));
}

/* The host does nothing in parallel: the number is kept, and has no effect. */

int32_t th_get_threads(void) { return threads; }

int32_t th_set_threads(int32_t count) {
  if (count < 1) return th_fail(TH_STATUS_UNSUPPORTED, "the number of threads must be at least 1, got %d", count);
  threads = count;
  return TH_STATUS_OK;
}

int32_t th_get_isa(void) { return TH_ISA_PORTABLE; }

int32_t th_set_isa(int32_t isa) {
  if (isa == TH_ISA_PORTABLE) return TH_STATUS_OK;
  return th_fail(TH_STATUS_UNSUPPORTED, "instruction set %d: this is not a processor that has it", isa);
}
