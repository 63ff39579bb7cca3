/*
 * Labels and ids outside their range. Waiting for the device at every call to find one would cost more than the call, so a
 * kernel treats such an element as if it were not there and records the first one in host memory that the device can
 * reach; th_download, which waits anyway, returns TH_STATUS_INDEX with what was recorded.
 */
#ifndef TH_CUDA_INDEX_CHECK_H
#define TH_CUDA_INDEX_CHECK_H

#include "device.h"

enum th_index_use : int32_t { TH_INDEX_LABEL = 1, TH_INDEX_ID = 2, TH_INDEX_ELEMENT = 3 };

/** The first element out of range; `use` is zero while there is none. */
struct th_index_report {
  int32_t use, index, position, range;
};

int32_t th_open_index_check();
/** The report as the device addresses it. */
th_index_report *th_index_reports();
/** TH_STATUS_INDEX once for each recorded report; only after a synchronisation. */
int32_t th_take_index_report();

/** Whether 0 <= index < range; records it otherwise. */
TH_DEVICE bool th_check_index(th_index_report *report, th_index_use use, int32_t index, int32_t position,
                              int32_t range) {
  if (index >= 0 && index < range) return true;
  if (atomicCAS(&report->use, 0, (int32_t)use) == 0) {
    report->index = index;
    report->position = position;
    report->range = range;
    __threadfence_system();
  }
  return false;
}

#endif
