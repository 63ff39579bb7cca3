/* What the emulator must report, and what it must compute: kernels with one fault each, and one without. */
#include "../cuda/block_merge.h"
#include "../cuda/device.h"
#include "../emulator/emulator.h"
#include "test.h"

#include <cmath>
#include <cstdlib>
#include <cstring>

namespace {

/** The report of a launch, or what was expected instead of one. */
const char *report_of(int32_t launch) {
  const int32_t status = test_settled(launch);
  return status == TH_STATUS_DEVICE ? th_last_error() : "nothing";
}

void check_report(const char *report, const char *first, const char *second) {
  check(strstr(report, first) && strstr(report, second), "a report of '%s' and '%s': %s", first, second, report);
}

__global__ void half_a_barrier(int *out) {
  if (threadIdx.x < 16) __syncthreads();
  out[threadIdx.x] = 1;
}

__global__ void two_barriers(int *out) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}

__global__ void barrier_and_shuffle(int *out) {
  if (threadIdx.x == 0) __syncthreads();
  else out[threadIdx.x] = __shfl_down_sync(0xffffffffu, 1, 1);
}

__global__ void lane_outside_mask(int *out) { out[threadIdx.x] = __shfl_xor_sync(0xffffu, 1, 1); }

__global__ void reads_outside_mask(int *out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0xffffu, 1, 20);
}

/** With and without the barrier between the writes and the reads of other threads' elements. */
template <bool SYNCHRONISED> __global__ void rotate(int *out) {
  __shared__ int shared[64];
  shared[threadIdx.x] = -1;
  __syncthreads();
  shared[threadIdx.x] = (int)threadIdx.x;
  if (SYNCHRONISED) __syncthreads();
  out[threadIdx.x] = shared[(threadIdx.x + 1) % 64];
  __syncthreads();
}

__global__ void reverse_dynamic(int *out) {
  int *shared = th_shared<int>();
  shared[threadIdx.x] = (int)threadIdx.x;
  __syncthreads();
  out[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

__global__ void count_atomically(int *out) { atomicAdd(out, 1); }

__global__ void block_sum(float *out) {
  const float sum = th_block_merge<th_sum_floats>((float)threadIdx.x);
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

struct device_ints {
  int *data;
  explicit device_ints(int count) : data((int *)th_alloc(4.0 * count)) {}
  ~device_ints() { th_free(data); }
};

bool rotated(int32_t (*launch)(int *)) {
  const device_ints out(64);
  int host[64];
  if (test_settled(launch(out.data)) || th_download(host, out.data, sizeof host)) return false;
  bool all = true;
  for (int i = 0; i < 64; i++) all = all && host[i] == (i + 1) % 64;
  return all;
}

} // namespace

TEST_SUITE(emulator_reports) {
  const device_ints out(1024);
  check_report(report_of(th_launch("half_a_barrier", half_a_barrier, 3, 32, out.data)), "half_a_barrier, block (",
               "never reach");
  check_report(report_of(th_launch("two_barriers", two_barriers, 1, 64, out.data)), "two_barriers",
               "different barriers");
  check_report(report_of(th_launch("barrier_and_shuffle", barrier_and_shuffle, 1, 32, out.data)), "barrier_and_shuffle",
               "deadlock");
  check_report(report_of(th_launch("lane_outside_mask", lane_outside_mask, 1, 32, out.data)), "line",
               "not in its own mask");
  check_report(report_of(th_launch("reads_outside_mask", reads_outside_mask, 1, 32, out.data)), "lane 20",
               "not in its mask");
  check_report(report_of(th_launch("too many threads", count_atomically, 1, 1025, out.data)), "too many threads",
               "invalid configuration");
  check_report(report_of(th_launch("too many blocks", count_atomically, dim3(1, 65536), 1, out.data)),
               "too many blocks", "invalid configuration");
  check_report(report_of(th_launch_shared("too much memory", count_atomically, 1, 1, 49 << 10, out.data)),
               "too much memory", "invalid configuration");
  check(test_settled(th_launch("count", count_atomically, 1, 1, out.data)) == TH_STATUS_OK, "and it works again");
}

TEST_SUITE(emulator_pointers) {
  th_emulator_configure(TH_EMULATOR_FORWARD, 1, 0, 0);
  int host = 0;
  check_report(report_of(th_launch("host", count_atomically, 1, 1, &host)), "argument 0", "not memory of the device");
  int *const freed = (int *)th_alloc(64);
  th_free(freed);
  th_memory_trim();
  check_report(report_of(th_launch("freed", count_atomically, 1, 1, freed)), "argument 0", "not memory of the device");
  check(th_upload(&host, &host, 4) != TH_STATUS_OK, "a copy to memory that is not the device's");
  th_emulator_configure(TH_EMULATOR_FORWARD, 1, 0, 1);
}

TEST_SUITE(emulator_orders) {
  const auto right = [](int *out) { return th_launch("rotate", rotate<true>, 2, 64, out); };
  const auto wrong = [](int *out) { return th_launch("rotate", rotate<false>, 2, 64, out); };
  int broken = 0;
  for (int order = TH_EMULATOR_FORWARD; order <= TH_EMULATOR_RANDOM; order++) {
    th_emulator_configure(order, 7, 0, 1);
    check(rotated(right), "order %d", order);
    broken += !rotated(wrong);
  }
  check(broken > 0, "a missing barrier shows in some order");
  th_emulator_configure(TH_EMULATOR_FORWARD, 1, 0, 1);
}

TEST_SUITE(emulator_blocks) {
  const device_ints out(2048);
  int host[2048];
  th_launch_shared("reverse_dynamic", reverse_dynamic, 1, 128, 128 * sizeof(int), out.data);
  th_download(host, out.data, 128 * sizeof(int));
  check(host[0] == 127 && host[127] == 0, "dynamic shared memory");
  th_upload(out.data, (const int[]){0}, 4);
  th_launch("count_atomically", count_atomically, dim3(3, 2), dim3(8, 4, 2), out.data);
  th_download(host, out.data, 4);
  check(host[0] == 6 * 64, "%d threads counted", host[0]);
  float sums[2048];
  for (int threads = 32; threads <= 1024; threads *= 2) {
    th_launch("block_sum", block_sum, 2, threads, (float *)out.data);
    th_download(sums, out.data, sizeof(float) * 2 * (size_t)threads);
    const float expected = (float)(threads * (threads - 1) / 2);
    bool all = true;
    for (int i = 0; i < 2 * threads; i++) all = all && sums[i] == expected;
    check(all, "the sum of %d threads, in each of them", threads);
  }
}

/** Lazy streams: nothing has happened until something waits for it. */
TEST_SUITE(emulator_lazy) {
  const device_ints out(1);
  th_upload(out.data, (const int[]){5}, 4);
  test_settled(TH_STATUS_OK);
  th_emulator_configure(TH_EMULATOR_FORWARD, 1, 1, 1);
  th_launch("count_atomically", count_atomically, 1, 1, out.data);
  check(*out.data == 5, "a launch waits");
  cudaEvent_t event = nullptr;
  cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  cudaEventRecord(event, th_stream());
  check(cudaEventQuery(event) == cudaErrorNotReady, "so does an event");
  cudaEventSynchronize(event);
  check(*out.data == 6 && cudaEventQuery(event) == cudaSuccess, "until someone waits for it");
  th_launch("count_atomically", count_atomically, 1, 1, out.data);
  cudaStream_t other = nullptr;
  cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
  cudaEventRecord(event, th_stream());
  cudaStreamWaitEvent(other, event, 0);
  cudaStreamSynchronize(other);
  check(*out.data == 7, "another stream can wait for it too");
  cudaEventDestroy(event);
  int host = 0;
  th_launch("count_atomically", count_atomically, 1, 1, out.data);
  th_download(&host, out.data, 4);
  check(host == 8, "a download waits");
  th_emulator_configure(TH_EMULATOR_FORWARD, 1, 0, 1);
}
