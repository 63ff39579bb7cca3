/*
 * Runs the native tests with each instruction set that this machine has, on 1, 2 and 3 threads; those of shapes drawn at random,
 * "…_any", also on more threads than there are tiles to share out.
 *   native_test [--draws N] [suite…]   N times as many shapes, 2 by default; only these suites
 */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner.h"

static int is_wanted(const char *name, int argc, char **argv) {
  for (int i = 1; i < argc; i++)
    if (!strcmp(argv[i], name)) return 1;
  return argc == 1;
}

int main(int argc, char **argv) {
  test_draws = argc > 2 && !strcmp(argv[1], "--draws") ? atoi(argv[2]) : 2;
  if (argc > 2 && !strcmp(argv[1], "--draws")) argc -= 2, argv += 2;
  static const char *const isa_names[] = {"portable", "avx2", "avx512"};
  for (int isa = TH_ISA_PORTABLE; isa <= TH_ISA_AVX512; isa++) {
    if (th_set_isa(isa) != TH_STATUS_OK) {
      printf("%s: not on this machine\n", isa_names[isa]);
      continue;
    }
    static const int thread_counts[] = {1, 2, 3, 5, 16};
    for (int t = 0; t < 5; t++) {
      const int threads = thread_counts[t];
      th_set_threads(threads);
      for (int i = 0; i < test_suite_count; i++) {
        if (!is_wanted(test_suites[i].name, argc, argv)) continue;
        if (threads > 3 && !strstr(test_suites[i].name, "_any")) continue;
        char context[96];
        snprintf(context, sizeof context, "%s, %d thread%s, %s", isa_names[isa], threads, threads > 1 ? "s" : "",
                 test_suites[i].name);
        test_context = context;
        const int before = test_passed + test_failed;
        const double start = test_seconds();
        test_suites[i].run();
        printf("%s: %d checks, %.2f s\n", context, test_passed + test_failed - before, test_seconds() - start);
      }
    }
  }
  printf("%d passed, %d failed\n", test_passed, test_failed);
  return test_failed || !test_passed;
}
