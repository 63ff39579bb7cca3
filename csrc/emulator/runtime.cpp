/* Memory, streams and events of the emulated device. One mutex guards all of it: kernels run one at a time. */
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>

#include "block.h"

using emulator::configured;

/** Work waits here only with the option `lazy`. */
struct emulated_stream {
  std::deque<std::function<void()>> work;
};

struct emulated_event {
  emulated_stream *stream = nullptr;
  unsigned recorded = 0, completed = 0;
};

namespace {

struct allocation {
  size_t bytes;
  bool pinned; /* host memory that the device can reach */
};

std::recursive_mutex mutex;
std::map<const char *, allocation> allocations;
std::deque<emulated_stream> streams(1); /* the first is the default stream */
const char *next_kernel = "";
cudaError_t last_error = cudaSuccess, pending_error = cudaSuccess;

typedef std::lock_guard<std::recursive_mutex> lock;
enum { ALIGNMENT = 256 };
/* Filling more would cost more time than finding a read of it is worth. */
const size_t FILLED = 64 << 20;

emulated_stream *of(cudaStream_t stream) { return stream ? stream : &streams.front(); }

cudaError_t set_error(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

/** The allocation that `pointer` lies in. */
const allocation *find(const void *pointer, size_t *behind = nullptr) {
  const char *address = (const char *)pointer;
  auto next = allocations.upper_bound(address);
  if (next == allocations.begin()) return nullptr;
  const auto &[start, found] = *--next;
  const size_t offset = (size_t)(address - start);
  if (offset >= found.bytes && !(offset == 0 && found.bytes == 0)) return nullptr;
  if (behind) *behind = found.bytes - offset;
  return &found;
}

bool is_device(const void *pointer, size_t bytes) {
  size_t behind = 0;
  return configured.host_pointers || bytes == 0 || (find(pointer, &behind) && bytes <= behind);
}

bool is_pinned(const void *pointer) {
  const allocation *found = find(pointer);
  return found && found->pinned;
}

void drain(emulated_stream *stream, const emulated_event *until = nullptr) {
  while (!stream->work.empty() && !(until && until->completed == until->recorded)) {
    const std::function<void()> next = std::move(stream->work.front());
    stream->work.pop_front();
    next();
  }
}

void enqueue(cudaStream_t stream, std::function<void()> work) {
  if (configured.lazy) of(stream)->work.push_back(std::move(work));
  else work();
}

/** What went wrong since the last synchronisation. A real device would stay in error; this one can go on. */
cudaError_t take_pending() {
  const cudaError_t error = pending_error;
  pending_error = cudaSuccess;
  return set_error(error);
}

cudaError_t allocate(void **pointer, size_t bytes, bool pinned) {
  const lock guard(mutex);
  if (posix_memalign(pointer, ALIGNMENT, bytes ? bytes : 1) != 0) {
    *pointer = nullptr;
    return set_error(cudaErrorMemoryAllocation);
  }
  memset(*pointer, 0xff, bytes < FILLED ? bytes : FILLED);
  allocations[(const char *)*pointer] = {bytes, pinned};
  return cudaSuccess;
}

cudaError_t deallocate(void *pointer, bool pinned) {
  const lock guard(mutex);
  if (!pointer) return cudaSuccess;
  cudaDeviceSynchronize();
  const auto found = allocations.find((const char *)pointer);
  if (found == allocations.end() || found->second.pinned != pinned) return set_error(cudaErrorInvalidValue);
  allocations.erase(found);
  free(pointer);
  return cudaSuccess;
}

} // namespace

extern "C" int32_t th_emulator_configure(int32_t order, int32_t seed, int32_t lazy, int32_t host_pointers) {
  const lock guard(mutex);
  cudaDeviceSynchronize();
  configured = {order, (unsigned)seed, lazy != 0, host_pointers != 0};
  return 0;
}

/* ------------------------------------------------------------------------------------------------- launches */

void emulator::name_next_launch(const char *name) {
  const lock guard(mutex);
  next_kernel = name;
}

cudaError_t emulator::check_launch(const cudaLaunchConfig_t &c) {
  const dim3 g = c.gridDim, b = c.blockDim;
  const uint64_t threads = (uint64_t)b.x * b.y * b.z;
  const bool grid = g.x > 0 && g.y > 0 && g.z > 0 && g.x <= 0x7fffffffu && g.y <= 65535 && g.z <= 65535;
  const bool block = threads > 0 && threads <= 1024 && b.z <= 64;
  return set_error(grid && block && c.dynamicSmemBytes <= 48 << 10 ? cudaSuccess : cudaErrorInvalidConfiguration);
}

bool emulator::check_pointer(const void *pointer, int argument) {
  const lock guard(mutex);
  if (!pointer || configured.host_pointers || find(pointer)) return true;
  thread nobody = {};
  current = &nobody;
  fail("argument %d is not memory of the device: %s was launched with it", argument, next_kernel);
  set_error(cudaErrorInvalidValue);
  return false;
}

cudaError_t emulator::enqueue_launch(const cudaLaunchConfig_t &config, std::function<void()> body) {
  const lock guard(mutex);
  enqueue(config.stream, [name = next_kernel, config, body = std::move(body)] {
    if (!run_grid(name, config.gridDim, config.blockDim, config.dynamicSmemBytes, body))
      pending_error = cudaErrorLaunchFailure;
  });
  return cudaSuccess;
}

/* --------------------------------------------------------------------------------------------------- device */

cudaError_t cudaGetDeviceCount(int *count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) { return set_error(device == 0 ? cudaSuccess : cudaErrorInvalidDevice); }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device) {
  if (device != 0) return set_error(cudaErrorInvalidDevice);
  *properties = {};
  snprintf(properties->name, sizeof properties->name, "emulated");
  properties->multiProcessorCount = 4;
  properties->totalGlobalMem = (size_t)1 << 40;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) { return *version = 0, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int *version) { return *version = 0, cudaSuccess; }

const char *cudaGetErrorString(cudaError_t error) {
  switch (error) {
  case cudaSuccess: return "no error";
  case cudaErrorMemoryAllocation: return "out of memory";
  case cudaErrorInvalidConfiguration: return "invalid configuration argument";
  case cudaErrorInvalidDevice: return "invalid device ordinal";
  case cudaErrorNotReady: return "device not ready";
  case cudaErrorInvalidValue:
  case cudaErrorLaunchFailure: {
    static thread_local char text[400];
    snprintf(text, sizeof text, "%s", *emulator::failure() ? emulator::failure() : "invalid argument");
    emulator::clear_failure();
    return text;
  }
  }
  return "unknown error";
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

/* --------------------------------------------------------------------------------------------------- memory */

cudaError_t cudaMalloc(void **pointer, size_t bytes) { return allocate(pointer, bytes, false); }
cudaError_t cudaFree(void *pointer) { return deallocate(pointer, false); }
cudaError_t cudaHostAlloc(void **pointer, size_t bytes, unsigned) { return allocate(pointer, bytes, true); }
cudaError_t cudaFreeHost(void *pointer) { return deallocate(pointer, true); }

cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned) {
  const lock guard(mutex);
  *device = host;
  return set_error(is_pinned(host) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const lock guard(mutex);
  const bool valid = (kind == cudaMemcpyHostToDevice || is_device(from, bytes)) &&
                     (kind == cudaMemcpyDeviceToHost || is_device(to, bytes));
  if (!valid) return set_error(cudaErrorInvalidValue);
  enqueue(stream, [=] { memcpy(to, from, bytes); });
  /* Memory that is not pinned is copied before the call returns. */
  const void *host = kind == cudaMemcpyHostToDevice ? from : to;
  if (kind != cudaMemcpyDeviceToDevice && !is_pinned(host)) drain(of(stream));
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
  const lock guard(mutex);
  if (!is_device(to, bytes)) return set_error(cudaErrorInvalidValue);
  enqueue(stream, [=] { memset(to, value, bytes); });
  return cudaSuccess;
}

/* --------------------------------------------------------------------------------------- streams and events */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned) {
  const lock guard(mutex);
  *stream = &streams.emplace_back();
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const lock guard(mutex);
  drain(of(stream));
  return take_pending();
}

cudaError_t cudaDeviceSynchronize() {
  const lock guard(mutex);
  for (emulated_stream &stream : streams) drain(&stream);
  return take_pending();
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) {
  *event = new emulated_event;
  return cudaSuccess;
}

/** After all work, some of which may wait for it. */
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const lock guard(mutex);
  cudaDeviceSynchronize();
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const lock guard(mutex);
  event->stream = of(stream);
  enqueue(stream, [event, number = ++event->recorded] { event->completed = number; });
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const lock guard(mutex);
  if (event->stream) drain(event->stream, event);
  return take_pending();
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const lock guard(mutex);
  return event->completed == event->recorded ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const lock guard(mutex);
  enqueue(stream, [event] {
    if (event->stream) drain(event->stream, event);
  });
  return cudaSuccess;
}
