/* Copies between host and device memory, through pinned buffers. */
#ifndef TH_CUDA_TRANSFER_H
#define TH_CUDA_TRANSFER_H

#include "device.h"

int32_t th_open_staging();

/** Writes bytes first … first + count - 1 of what is to be sent. */
typedef void (*th_writer)(char *to, size_t first, size_t count, const void *context);
/** Sends `bytes` bytes that `write` produces. */
int32_t th_send(void *out, size_t bytes, th_writer write, const void *context);

#endif
