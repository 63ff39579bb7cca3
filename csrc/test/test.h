/*
 * A small harness for native tests. A file test_*.c holds suites:
 *
 *   TEST_SUITE(matmul) { ... check(...); check_close(...); }
 *
 * which register themselves; main.c runs all of them for each instruction set of the machine and several thread counts,
 * main_emulated.c on the emulated CUDA device.
 */
#ifndef TH_TEST_H
#define TH_TEST_H

#include "../thimble.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Defines and registers a suite; its body follows. */
#define TEST_SUITE(name)                                                                                               \
  static void suite_##name(void);                                                                                      \
  __attribute__((constructor)) static void register_##name(void) { test_register(#name, suite_##name); }               \
  static void suite_##name(void)
void test_register(const char *name, void (*run)(void));

/** Counts a pass, or a failure with its printf-style description. Returns `passed`. */
int check(int passed, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Checks |actual - expected| ≤ tolerance · (1 + |expected|) for n elements; NaN agrees with NaN, infinity with itself. */
int check_close(const float *actual, const float *expected, ptrdiff_t n, double tolerance, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/** n floats (at least one), 64-byte aligned, that the caller frees; reading or writing past them is found by AddressSanitizer. */
float *test_floats(ptrdiff_t n);
/** The same, uniform in [-1, 1); the same numbers for the same seed. */
float *test_random(ptrdiff_t n, uint64_t seed);
/** The same, all NaN: an output that a kernel leaves unwritten shows. */
float *test_nan(ptrdiff_t n);

/** An integer in [low, high], small ones more often than large ones; the same ones from the same state on. */
int test_pick(uint64_t *state, int low, int high);
/** How many times as many shapes to draw as usual. */
extern int test_draws;

/** Fills one row of th_layers' table: y = conv(x, weight) + bias (NULL for none) and nothing else. `geometry` as th_conv's. */
void test_layer(double *row, const int32_t *geometry, const float *weight, const float *bias);
/** An address as an entry of such a row. */
double test_address(const float *pointer);

/** The status of a call, or of what it started, once the device is done with it. */
int32_t test_settled(int32_t status);

/** Seconds since some moment. */
double test_seconds(void);

#ifdef __cplusplus
}
#endif

#endif
