/*
 * Copies between host and device memory.
 *
 * A host array may change or move as soon as a call returns, so what is sent is first written to pinned memory, from which
 * the device copies later. The pinned slots are used in turn; an event tells when a slot's last copy is done. So
 * sending waits only for copies that are a whole round behind.
 */
#include "transfer.h"

#include <cstring>
#include <mutex>

#include "index_check.h"

namespace {

enum { SLOTS = 4 };
const size_t SLOT_BYTES = 2 << 20;

struct slot {
  char *memory;
  cudaEvent_t copied;
} slots[SLOTS];
int next_slot;
std::mutex mutex;

void write_host(char *to, size_t first, size_t count, const void *context) {
  memcpy(to, static_cast<const char *>(context) + first, count);
}

/** Starts the copy of one piece into a slot. */
int32_t start_receiving(slot *s, const char *from, size_t bytes) {
  TH_TRY(th_cuda_status(cudaMemcpyAsync(s->memory, from, bytes, cudaMemcpyDeviceToHost, th_stream()), "download"));
  return th_cuda_status(cudaEventRecord(s->copied, th_stream()), "download");
}

} // namespace

int32_t th_open_staging() {
  for (slot &s : slots) {
    void *memory = nullptr;
    TH_TRY(th_cuda_status(cudaHostAlloc(&memory, SLOT_BYTES, cudaHostAllocDefault), "cudaHostAlloc"));
    s.memory = static_cast<char *>(memory);
    TH_TRY(th_cuda_status(cudaEventCreateWithFlags(&s.copied, cudaEventDisableTiming), "cudaEventCreate"));
  }
  return TH_STATUS_OK;
}

int32_t th_send(void *out, size_t bytes, th_writer write, const void *context) {
  const std::lock_guard<std::mutex> lock(mutex);
  for (size_t first = 0; first < bytes; first += SLOT_BYTES) {
    const size_t count = bytes - first < SLOT_BYTES ? bytes - first : SLOT_BYTES;
    slot *s = &slots[next_slot++ % SLOTS];
    TH_TRY(th_cuda_status(cudaEventSynchronize(s->copied), "upload"));
    write(s->memory, first, count, context);
    TH_TRY(th_cuda_status(
        cudaMemcpyAsync(static_cast<char *>(out) + first, s->memory, count, cudaMemcpyHostToDevice, th_stream()),
        "upload"));
    TH_TRY(th_cuda_status(cudaEventRecord(s->copied, th_stream()), "upload"));
  }
  return TH_STATUS_OK;
}

int32_t th_upload(void *out, const void *host_in, double bytes) {
  return bytes > 0 ? th_send(out, (size_t)bytes, write_host, host_in) : TH_STATUS_OK;
}

int32_t th_download(void *host_out, const void *in, double bytes) {
  const std::lock_guard<std::mutex> lock(mutex);
  const size_t total = bytes > 0 ? (size_t)bytes : 0, pieces = (total + SLOT_BYTES - 1) / SLOT_BYTES;
  const auto size_of = [&](size_t piece) { return piece + 1 < pieces ? SLOT_BYTES : total - piece * SLOT_BYTES; };
  /* The device copies a few pieces ahead of the one that is being read. */
  size_t started = 0;
  for (size_t piece = 0; piece < pieces; piece++) {
    for (; started < pieces && started < piece + SLOTS; started++)
      TH_TRY(start_receiving(&slots[started % SLOTS], static_cast<const char *>(in) + started * SLOT_BYTES,
                             size_of(started)));
    slot *s = &slots[piece % SLOTS];
    TH_TRY(th_cuda_status(cudaEventSynchronize(s->copied), "download"));
    memcpy(static_cast<char *>(host_out) + piece * SLOT_BYTES, s->memory, size_of(piece));
  }
  TH_TRY(th_cuda_status(cudaStreamSynchronize(th_stream()), "download"));
  return th_take_index_report();
}
