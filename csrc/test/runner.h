/* What the harness (test.c) shows to the program that runs it (main.c). */
#ifndef TH_RUNNER_H
#define TH_RUNNER_H

typedef struct {
  const char *name;
  void (*run)(void);
} test_suite;

extern test_suite test_suites[];
extern int test_suite_count, test_passed, test_failed;
extern const char *test_context; /* printed with a failure */

#endif
