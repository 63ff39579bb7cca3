/* The last error of each thread: kernels return th_fail(status, "what happened"). */
#ifndef TH_STATUS_H
#define TH_STATUS_H

#include "../thimble.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Records printf-style text for th_last_error and returns `status`. */
int32_t th_fail(th_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif

#endif
