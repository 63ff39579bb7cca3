#define _POSIX_C_SOURCE 200809L
#include "test.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runner.h"

test_suite test_suites[64];
int test_suite_count, test_passed, test_failed;
const char *test_context = "";

void test_register(const char *name, void (*run)(void)) {
  if (test_suite_count < 64) test_suites[test_suite_count++] = (test_suite){name, run};
}

static int count(int passed, const char *detail, const char *format, va_list arguments) {
  if (passed) {
    test_passed++;
    return 1;
  }
  if (++test_failed <= 50) { /* more says nothing new */
    printf("FAIL [%s] ", test_context);
    vprintf(format, arguments);
    printf("%s\n", detail);
  }
  return 0;
}

int check(int passed, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  count(passed, "", format, arguments);
  va_end(arguments);
  return passed;
}

static int is_close(double a, double b, double tolerance) {
  if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
  return a == b || fabs(a - b) <= tolerance * (1 + fabs(b));
}

int check_close(const float *actual, const float *expected, ptrdiff_t n, double tolerance, const char *format, ...) {
  char detail[128] = "";
  int passed = 1;
  for (ptrdiff_t i = 0; i < n && passed; i++) {
    passed = is_close(actual[i], expected[i], tolerance);
    if (!passed) snprintf(detail, sizeof detail, ": [%td] is %.9g, not %.9g", i, actual[i], expected[i]);
  }
  va_list arguments;
  va_start(arguments, format);
  count(passed, detail, format, arguments);
  va_end(arguments);
  return passed;
}

float *test_floats(ptrdiff_t n) {
  void *memory = NULL;
  if (posix_memalign(&memory, 64, sizeof(float) * (size_t)(n > 0 ? n : 1))) abort();
  return memory;
}

float *test_random(ptrdiff_t n, uint64_t seed) {
  float *out = test_floats(n);
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (ptrdiff_t i = 0; i < n; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    out[i] = (float)((double)(state >> 40) / (1 << 23) - 1);
  }
  return out;
}

int test_draws = 1;

int test_pick(uint64_t *state, int low, int high) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  const double uniform = (double)(*state >> 11) / (double)((uint64_t)1 << 53);
  return low + (int)(uniform * uniform * (high - low + 1));
}

float *test_nan(ptrdiff_t n) {
  float *out = test_floats(n);
  for (ptrdiff_t i = 0; i < n; i++) out[i] = NAN;
  return out;
}

int32_t test_settled(int32_t status) {
  const int32_t later = th_download(NULL, NULL, 0);
  return status != TH_STATUS_OK ? status : later;
}

double test_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double test_address(const float *pointer) { return (double)(uintptr_t)pointer; }

void test_layer(double *row, const int32_t *geometry, const float *weight, const float *bias) {
  for (int i = 0; i < TH_LAYER_ENTRIES; i++) row[i] = 0;
  for (int i = 0; i < 8; i++) row[TH_LAYER_H + i] = geometry[1 + i];
  row[TH_LAYER_IN] = TH_PLACE_X, row[TH_LAYER_OUT] = TH_PLACE_Y, row[TH_LAYER_ADD] = TH_PLACE_NONE;
  row[TH_LAYER_WEIGHT] = test_address(weight), row[TH_LAYER_BIAS] = test_address(bias);
}
