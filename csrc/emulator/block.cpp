#include "block.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "fiber.h"

uint3 blockIdx;
dim3 blockDim, gridDim;

namespace emulator {

thread *current;
char *dynamic_shared;
options configured;

namespace {

enum class state { NEW, READY, AT_BARRIER, AT_WARP, DONE };
enum { WARP = 32, MAX_THREADS = 1024 };

/** A thread of the block, and what it waits for. */
struct emulated_thread : thread {
  state is;
  fiber *on;
  int line;
  int predicate; /* of barrier_any */
  unsigned mask, barriers, warp_operations; /* how many it has passed, of each */
  int source;                               /* lane that a shuffle reads; -1 for none */
  uint64_t given, taken;
};

emulated_thread threads[MAX_THREADS];
std::vector<unsigned> order;
unsigned count, started, left;
/* Fixed, so that nothing is allocated, which ThreadSanitizer would see, on a fiber. */
fiber fibers[MAX_THREADS + 1], *idle[MAX_THREADS + 1];
unsigned fiber_count, idle_count;
fiber *entering;
const std::function<void()> *kernel_body;
const char *kernel_name = "";
bool failed;
int any;
char failure_text[400];
char begin_of_grid, end_of_grid, handles[1 + MAX_THREADS / WARP][2]; /* addresses for ThreadSanitizer */
std::mt19937 generator;

emulated_thread &self() { return *static_cast<emulated_thread *>(current); }

void arrange(std::vector<unsigned> &indices, unsigned n) {
  indices.resize(n);
  for (unsigned i = 0; i < n; i++) indices[i] = configured.order == TH_EMULATOR_REVERSE ? n - 1 - i : i;
  if (configured.order != TH_EMULATOR_RANDOM) return;
  for (unsigned i = n; i > 1; i--) std::swap(indices[i - 1], indices[generator() % i]);
}

/* ---------------------------------------------------------------------------------------------------- fibers */

/** Runs threads that have not started, until one of them waits; whoever waited here comes back when it may go on. */
void run_threads() {
  fiber *const own = entering;
  entered();
  for (;;) {
    while (started < count) {
      emulated_thread &t = threads[order[started++]];
      t.on = own;
      t.is = state::READY;
      current = &t;
      acquire(&begin_of_grid);
      (*kernel_body)();
      release(&end_of_grid);
      self().is = state::DONE;
      left--;
#ifdef TH_TSAN
      break; /* threads on one fiber would be in order: no race would show */
#endif
    }
    idle[idle_count++] = own;
    switch_to(own, &main_fiber);
  }
}

bool start_threads() {
  if (idle_count == 0) {
    if (!start(&fibers[fiber_count], run_threads)) {
      fail("no memory for the stack of another thread");
      return false;
    }
    idle[idle_count++] = &fibers[fiber_count++];
  }
  entering = idle[--idle_count];
  switch_to(&main_fiber, entering);
  return true;
}

void wait(state why, int line, char (&handle)[2], unsigned phase) {
  emulated_thread &t = self();
  t.is = why;
  t.line = line;
  release(&handle[phase & 1]);
  switch_to(t.on, &main_fiber);
  acquire(&handle[phase & 1]);
}

/** Fibers that are in the middle of a kernel start anew. */
void abandon_threads() {
  for (unsigned i = 0; i < count; i++) {
    emulated_thread &t = threads[i];
    if (t.is == state::NEW || t.is == state::DONE) continue;
    abandon(t.on);
    start(t.on, run_threads);
    idle[idle_count++] = t.on;
  }
}

/* ------------------------------------------------------------------------------------------------- releasing */

unsigned lanes_of(unsigned warp) { return std::min<unsigned>(WARP, count - warp * WARP); }

/** Lets the lanes go on whose whole mask has arrived at one operation, and makes the exchange of a shuffle. */
bool release_warp(unsigned warp) {
  emulated_thread *const lanes = threads + warp * WARP;
  const unsigned n = lanes_of(warp);
  const unsigned existing = n == WARP ? ~0u : (1u << n) - 1;
  bool released = false;
  for (unsigned first = 0; first < n; first++) {
    if (lanes[first].is != state::AT_WARP) continue;
    const unsigned mask = lanes[first].mask & existing;
    bool complete = true;
    for (unsigned i = 0; i < n; i++)
      if (mask >> i & 1 && lanes[i].is != state::AT_WARP) complete = false;
    if (!complete) continue;
    for (unsigned i = 0; i < n; i++) {
      if (!(mask >> i & 1)) continue;
      current = &lanes[i];
      if (lanes[i].mask != lanes[first].mask || lanes[i].line != lanes[first].line) {
        fail("line %d and line %d: lanes of one mask wait at different warp operations", lanes[first].line,
             lanes[i].line);
        return true;
      }
      if (lanes[i].source < 0) continue;
      if (!(mask >> lanes[i].source & 1)) {
        fail("line %d: a shuffle reads lane %d, which is not in its mask", lanes[i].line, lanes[i].source);
        return true;
      }
      lanes[i].taken = lanes[lanes[i].source].given;
    }
    for (unsigned i = 0; i < n; i++)
      if (mask >> i & 1) lanes[i].is = state::READY;
    released = true;
  }
  return released;
}

/** Lets all threads go on when all wait at one barrier. */
bool release_barrier() {
  const emulated_thread *first = nullptr;
  unsigned waiting = 0;
  any = 0;
  for (unsigned i = 0; i < count; i++) {
    const emulated_thread &t = threads[i];
    if (t.is != state::AT_BARRIER) continue;
    if (!first) first = &t;
    if (t.line != first->line) {
      fail("line %d and line %d: threads of a block wait at different barriers", first->line, t.line);
      return true;
    }
    any |= t.predicate;
    waiting++;
  }
  if (!first || waiting < left) return false;
  if (waiting < count) {
    fail("line %d: a barrier that %u of %u threads never reach, since they have returned", first->line, count - waiting,
         count);
    return true;
  }
  for (unsigned i = 0; i < count; i++) threads[i].is = state::READY;
  return true;
}

bool release_waiting() {
  bool released = false;
  for (unsigned warp = 0; warp * WARP < count && !failed; warp++) released |= release_warp(warp);
  return released || (!failed && release_barrier());
}

void report_deadlock() {
  for (unsigned i = 0; i < count; i++) {
    const emulated_thread &t = threads[i];
    if (t.is != state::AT_BARRIER && t.is != state::AT_WARP) continue;
    current = &threads[i];
    fail("line %d: deadlock: a %s waits for threads that never arrive", t.line,
         t.is == state::AT_BARRIER ? "barrier" : "warp operation");
    return;
  }
}

/* ---------------------------------------------------------------------------------------------------- blocks */

void run_block() {
  for (unsigned i = 0; i < count; i++) {
    emulated_thread &t = threads[i];
    t.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
    t.lane = i % WARP;
    t.warp = i / WARP;
    t.barriers = t.warp_operations = 0;
    t.is = state::NEW;
  }
  arrange(order, count);
  started = 0;
  left = count;
  while (started < count && !failed)
    if (!start_threads()) break;
  while (left > 0 && !failed) {
    if (!release_waiting()) report_deadlock();
    if (configured.order == TH_EMULATOR_RANDOM) arrange(order, count);
    for (unsigned i = 0; i < count && !failed; i++) {
      emulated_thread &t = threads[order[i]];
      if (t.is != state::READY) continue;
      current = &t;
      switch_to(&main_fiber, t.on);
    }
  }
  if (failed) abandon_threads();
}

} // namespace

bool run_grid(const char *kernel, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()> &body) {
  static std::vector<unsigned> blocks;
  kernel_name = kernel;
  kernel_body = &body;
  gridDim = grid;
  blockDim = block;
  count = block.x * block.y * block.z;
  generator.seed(configured.seed);
  /* Of exactly this size, so that AddressSanitizer sees an overflow. */
  dynamic_shared = (char *)malloc(shared_bytes);
  memset(dynamic_shared, 0xff, shared_bytes);
  failed = false;
  release(&begin_of_grid);
  arrange(blocks, grid.x * grid.y * grid.z);
  for (const unsigned i : blocks) {
    blockIdx = {i % grid.x, i / grid.x % grid.y, i / (grid.x * grid.y)};
    run_block();
    if (failed) break;
    /* Blocks use the same shared memory, so ThreadSanitizer must take them to be in order. */
    acquire(&end_of_grid);
    release(&begin_of_grid);
  }
  acquire(&end_of_grid);
  free(dynamic_shared);
  return !failed;
}

void fail(const char *format, ...) {
  if (!*failure_text) {
    char what[240];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    snprintf(failure_text, sizeof failure_text, "kernel %s, block (%u, %u, %u), thread (%u, %u, %u), %s", kernel_name,
             blockIdx.x, blockIdx.y, blockIdx.z, current->index.x, current->index.y, current->index.z, what);
  }
  failed = true;
}

const char *failure() { return failure_text; }
void clear_failure() { *failure_text = 0; }

/* ------------------------------------------------------------------------------------ called by a kernel's thread */

void barrier(int line) { barrier_any(0, line); }

int barrier_any(int predicate, int line) {
  emulated_thread &t = self();
  t.predicate = predicate != 0;
  wait(state::AT_BARRIER, line, handles[0], t.barriers++);
  return any;
}

static void warp_wait(unsigned mask, int line) {
  emulated_thread &t = self();
  t.mask = mask;
  if (!(mask >> t.lane & 1)) {
    fail("line %d: the calling lane is not in its own mask", line);
    t.is = state::READY;
    switch_to(t.on, &main_fiber); /* for good */
  }
  wait(state::AT_WARP, line, handles[1 + t.warp], t.warp_operations++);
}

void warp_barrier(unsigned mask, int line) {
  self().source = -1;
  warp_wait(mask, line);
}

uint64_t shuffle(uint64_t value, unsigned mask, int source, int line) {
  emulated_thread &t = self();
  t.given = value;
  t.source = source;
  warp_wait(mask, line);
  return t.taken;
}

} // namespace emulator
