/*
 * Fibers: stacks that one OS thread switches between. On x86-64 a switch saves the six registers that a call preserves,
 * which takes a few nanoseconds; elsewhere ucontext does it. TH_ASAN and TH_TSAN tell the sanitizers of each switch; the
 * emulator itself is compiled without them, so that they look at kernels only.
 */
#ifndef TH_EMULATOR_FIBER_H
#define TH_EMULATOR_FIBER_H

#include <cstddef>

#if defined(__x86_64__) && !defined(TH_PORTABLE_FIBERS)
#define TH_ASSEMBLY_FIBERS 1
#else
#include <ucontext.h>
#endif

namespace emulator {

struct fiber {
#ifdef TH_ASSEMBLY_FIBERS
  void *stack_pointer = nullptr;
#else
  ucontext_t context;
#endif
  char *stack = nullptr; /* null for the fiber of the OS thread itself */
  void *fake_stack = nullptr, *sanitizer_fiber = nullptr;
};

/** Makes `f` begin with `entry`, which never returns. Its stack is kept when it has one. False when there is no memory. */
bool start(fiber *f, void (*entry)());
/** Before the start of a fiber whose entry was left in the middle. */
void abandon(fiber *f);
/** Saves the running fiber in `from` and continues `to`. */
void switch_to(fiber *from, fiber *to);
/** The first thing an entry calls. */
void entered();
/** The fiber of the OS thread, which all others return to. */
extern fiber main_fiber;
/** For ThreadSanitizer: what was done before `release` is visible after `acquire` of the same address. */
void release(void *address);
void acquire(void *address);

} // namespace emulator

#endif
