/*
 * Runs the native tests on the emulated CUDA device, which is told to accept host memory: with the threads of each block in
 * forward, reverse and random order.
 *   emulated_test [--random] [suite…] [-suite…]   in random order alone; only these suites; without these
 */
#include "../emulator/emulator.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "runner.h"

/** Arguments are suites to run, or, as -name, to leave out. */
static int is_wanted(const char *name, int argc, char **argv) {
  int chosen = !strcmp(name, "allocator_huge") ? 0 : -1;
  for (int i = 1; i < argc; i++) {
    if (argv[i][0] == '-' && !strcmp(argv[i] + 1, name)) return 0;
    if (argv[i][0] != '-' && chosen != 1) chosen = !strcmp(argv[i], name);
  }
  return chosen != 0;
}

int main(int argc, char **argv) {
  const int only_random = argc > 1 && !strcmp(argv[1], "--random");
  argc -= only_random;
  argv += only_random;
  static const char *const names[] = {"forward", "reverse", "random"};
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (th_open(0) != TH_STATUS_OK) {
    printf("the emulated device does not open: %s\n", th_last_error());
    return 1;
  }
  for (int order = only_random ? TH_EMULATOR_RANDOM : TH_EMULATOR_FORWARD; order <= TH_EMULATOR_RANDOM; order++) {
    th_emulator_configure(order, 1, 0, 1);
    for (int i = 0; i < test_suite_count; i++) {
      if (!is_wanted(test_suites[i].name, argc, argv)) continue;
      char context[96];
      snprintf(context, sizeof context, "%s, %s", names[order], test_suites[i].name);
      test_context = context;
      const int before = test_passed + test_failed;
      const double start = test_seconds();
      test_suites[i].run();
      if (!check(th_download(NULL, NULL, 0) == TH_STATUS_OK, "the device is in error: %s", th_last_error())) continue;
      printf("%s: %d checks, %.2f s\n", context, test_passed + test_failed - before, test_seconds() - start);
    }
  }
  printf("%d passed, %d failed\n", test_passed, test_failed);
  return test_failed || !test_passed;
}
