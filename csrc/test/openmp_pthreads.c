/*
 * OpenMP's run time on pthreads, linked into the native tests when they are built with ThreadSanitizer.
 *
 * ThreadSanitizer cannot see the synchronisation inside libgomp, which is not instrumented, and reports every fork, join
 * and barrier as a race. Suppressing those reports would suppress real ones. These are the functions that GCC calls for
 * the directives the kernels use (parallel, static for, single, barrier), made of pthread operations that the sanitizer
 * understands, so its verdict on the kernels is unfiltered. They take the place of libgomp's because the executable's
 * symbols come first.
 */
#if defined(__SANITIZE_THREAD__)

#include <pthread.h>
#include <stdbool.h>

enum { MOST_THREADS = 64 };

typedef struct {
  int threads;
  pthread_barrier_t barrier;
  pthread_mutex_t mutex;
  int singles; /* single regions that some thread has entered */
} team;

typedef struct {
  team *team;
  int number, singles; /* single regions that this thread has met */
  void (*function)(void *);
  void *data;
} member;

static _Thread_local member *current;

static void *run_member(void *argument) {
  member *const outer = current;
  current = argument;
  current->function(current->data);
  current = outer;
  return NULL;
}

void GOMP_parallel(void (*function)(void *), void *data, unsigned threads, unsigned flags);
void GOMP_parallel(void (*function)(void *), void *data, unsigned threads, unsigned flags) {
  (void)flags;
  const int count = current || threads < 1 ? 1 : threads < MOST_THREADS ? (int)threads : MOST_THREADS;
  team t = {.threads = count, .mutex = PTHREAD_MUTEX_INITIALIZER};
  member members[MOST_THREADS];
  pthread_t handles[MOST_THREADS];
  pthread_barrier_init(&t.barrier, NULL, (unsigned)count);
  for (int i = 0; i < count; i++) members[i] = (member){&t, i, 0, function, data};
  for (int i = 1; i < count; i++) pthread_create(&handles[i], NULL, run_member, &members[i]);
  run_member(&members[0]);
  for (int i = 1; i < count; i++) pthread_join(handles[i], NULL);
  pthread_barrier_destroy(&t.barrier);
}

void GOMP_barrier(void);
void GOMP_barrier(void) {
  if (current) pthread_barrier_wait(&current->team->barrier);
}

/** Whether the caller is the first to reach this single region, the one that runs it. */
bool GOMP_single_start(void);
bool GOMP_single_start(void) {
  if (!current) return true;
  team *t = current->team;
  const int region = current->singles++;
  pthread_mutex_lock(&t->mutex);
  const bool first = t->singles == region;
  if (first) t->singles++;
  pthread_mutex_unlock(&t->mutex);
  return first;
}

int omp_get_thread_num(void);
int omp_get_thread_num(void) { return current ? current->number : 0; }
int omp_get_num_threads(void);
int omp_get_num_threads(void) { return current ? current->team->threads : 1; }
int omp_in_parallel(void);
int omp_in_parallel(void) { return current && current->team->threads > 1; }

#else
typedef int openmp_is_libgomp; /* nothing to replace; a file must not be empty */
#endif
