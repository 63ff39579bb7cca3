/*
 * A block of threads on one OS thread.
 *
 * Threads start one after another on one fiber, as a plain loop. One that waits keeps its fiber, and the rest go on with
 * another: a kernel without barriers costs no switch. When all have started, those that may go on are run in
 * rounds, in an order that can be chosen: where a barrier is missing, some order gives another result.
 */
#ifndef TH_EMULATOR_BLOCK_H
#define TH_EMULATOR_BLOCK_H

#include <functional>

#include "cuda_runtime.h"
#include "emulator.h"

namespace emulator {

/** What th_emulator_configure sets. */
struct options {
  int order = TH_EMULATOR_FORWARD;
  unsigned seed = 1;
  bool lazy = false, host_pointers = false;
};
extern options configured;

/** Runs a grid. False when it failed; failure() says how. */
bool run_grid(const char *kernel, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()> &body);
/** Text of the last failure, until clear_failure. */
const char *failure();
void clear_failure();

} // namespace emulator

#endif
