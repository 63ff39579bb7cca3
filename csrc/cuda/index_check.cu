#include "index_check.h"

static th_index_report *host_report, *device_report;

int32_t th_open_index_check() {
  void *memory = nullptr, *mapped = nullptr;
  TH_TRY(th_cuda_status(cudaHostAlloc(&memory, sizeof *host_report, cudaHostAllocMapped), "cudaHostAlloc"));
  TH_TRY(th_cuda_status(cudaHostGetDevicePointer(&mapped, memory, 0), "cudaHostGetDevicePointer"));
  host_report = static_cast<th_index_report *>(memory);
  device_report = static_cast<th_index_report *>(mapped);
  *host_report = {};
  return TH_STATUS_OK;
}

th_index_report *th_index_reports() { return device_report; }

int32_t th_take_index_report() {
  if (!host_report) return TH_STATUS_OK;
  const volatile th_index_report *seen = host_report;
  const int32_t use = seen->use;
  if (use == 0) return TH_STATUS_OK;
  const th_index_report report = {use, seen->index, seen->position, seen->range};
  *host_report = {};
  /* A later call reports it, so the text names the operation, and what to do; on the CPU the caller does. */
  if (use == TH_INDEX_LABEL)
    return th_fail(
        TH_STATUS_INDEX,
        "cross entropy: label %d of row %d is outside the %d classes. If rows with that label are to be left "
        "out, give crossEntropy the option ignoreIndex",
        report.index, report.position, report.range);
  if (use == TH_INDEX_ELEMENT)
    return th_fail(TH_STATUS_INDEX, "gather: index %d at position %d is outside the axis of %d elements", report.index,
                   report.position, report.range);
  return th_fail(TH_STATUS_INDEX, "embedding: id %d at position %d is outside the table of %d rows", report.index,
                 report.position, report.range);
}
