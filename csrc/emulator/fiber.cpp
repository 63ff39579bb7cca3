#include "fiber.h"

#include <cstdint>
#include <cstring>
#include <sys/mman.h>

#ifdef TH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef TH_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace emulator {

/* A stack is touched only as far as it is used. Sanitizers make frames larger. */
static const size_t STACK_BYTES = 256 << 10;

fiber main_fiber;

#ifdef TH_ASAN
static const void *main_bottom;
static size_t main_bytes;
#endif

static char *make_stack() {
  void *memory = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? nullptr : (char *)memory;
}

#ifdef TH_ASSEMBLY_FIBERS
extern "C" void th_emulator_switch(void **save, void *to);
asm(".text\n"
    ".hidden th_emulator_switch\n"
    ".globl th_emulator_switch\n"
    "th_emulator_switch:\n"
    "  push %rbp\n  push %rbx\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
    "  mov %rsp, (%rdi)\n"
    "  mov %rsi, %rsp\n"
    "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n  pop %rbp\n"
    "  ret\n");

static void prepare(fiber *f, void (*entry)()) {
  /* The entry finds the stack as a call leaves it: 8 below a multiple of 16. */
  void **top = (void **)(f->stack + STACK_BYTES) - 2;
  memset(top - 6, 0, 6 * sizeof *top);
  *top = (void *)entry;
  f->stack_pointer = top - 6;
}

static void swap(fiber *from, fiber *to) { th_emulator_switch(&from->stack_pointer, to->stack_pointer); }
#else
static void prepare(fiber *f, void (*entry)()) {
  getcontext(&f->context);
  f->context.uc_stack.ss_sp = f->stack;
  f->context.uc_stack.ss_size = STACK_BYTES;
  f->context.uc_link = nullptr;
  makecontext(&f->context, entry, 0);
}

static void swap(fiber *from, fiber *to) { swapcontext(&from->context, &to->context); }
#endif

bool start(fiber *f, void (*entry)()) {
  if (!f->stack) f->stack = make_stack();
  if (!f->stack) return false;
#ifdef TH_ASAN
  __asan_unpoison_memory_region(f->stack, STACK_BYTES); /* frames that were abandoned */
  f->fake_stack = nullptr;
#endif
#ifdef TH_TSAN
  if (!f->sanitizer_fiber) f->sanitizer_fiber = __tsan_create_fiber(0);
#endif
  prepare(f, entry);
  return true;
}

void abandon(fiber *f) {
#ifdef TH_TSAN
  __tsan_destroy_fiber(f->sanitizer_fiber);
  f->sanitizer_fiber = nullptr;
#endif
  (void)f;
}

void switch_to(fiber *from, fiber *to) {
#ifdef TH_ASAN
  if (to->stack) __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, STACK_BYTES);
  else __sanitizer_start_switch_fiber(&from->fake_stack, main_bottom, main_bytes);
#endif
#ifdef TH_TSAN
  if (!from->stack) from->sanitizer_fiber = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(to->sanitizer_fiber, __tsan_switch_to_fiber_no_sync);
#endif
  swap(from, to);
#ifdef TH_ASAN
  if (from->stack) __sanitizer_finish_switch_fiber(from->fake_stack, &main_bottom, &main_bytes);
  else __sanitizer_finish_switch_fiber(from->fake_stack, nullptr, nullptr);
#endif
}

void entered() {
#ifdef TH_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &main_bottom, &main_bytes);
#endif
}

void release(void *address) {
#ifdef TH_TSAN
  __tsan_release(address);
#else
  (void)address;
#endif
}

void acquire(void *address) {
#ifdef TH_TSAN
  __tsan_acquire(address);
#else
  (void)address;
#endif
}

} // namespace emulator
