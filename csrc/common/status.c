/* The last error of each thread, for th_last_error. */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char message[512];

int32_t th_fail(th_status status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  return status;
}

const char *th_last_error(void) { return message; }
