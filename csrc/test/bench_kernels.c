/*
 * Times the kernels that are not products, at the sizes of ResNet-9 (batch 128) and a language model (batch 20, 35 steps).
 *   kernels_bench [threads] [isa]   microseconds: the median, and the least, of runs interleaved with one another
 */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 41 };
static float *x, *y, *z, *w, *weight, *bias, *mean, *istd, *dweight, *dbias, *running_mean, *running_var;
static int32_t *ids, *plan, labels[128];
static uint8_t *bytes;
static double adam_table[5], clip_table[2];

static double number_of(const void *pointer) { return (double)(uintptr_t)pointer; }

#define LAYOUT(...) ((const int32_t[]){__VA_ARGS__})
enum { SPATIAL = 8192, CHANNELS = 16, ELEMENTS = SPATIAL * CHANNELS, TOKENS = 700, WORDS = 10000, PARAMETERS = 432000 };

#define KERNELS(RUN)                                                                                                   \
  RUN("batch norm + ReLU, 8192 x 16",                                                                                  \
      th_batch_norm(y, mean, istd, running_mean, running_var, x, weight, bias, SPATIAL, CHANNELS, 1e-5, 0.1, 1))       \
  RUN("its gradient",                                                                                                  \
      th_batch_norm_backward(z, dweight, dbias, y, x, weight, bias, mean, istd, SPATIAL, CHANNELS, 1, 0))              \
  RUN("batch norm + ReLU, 2048 x 64",                                                                                  \
      th_batch_norm(y, mean, istd, running_mean, running_var, x, weight, bias, 2048, 64, 1e-5, 0.1, 1))                \
  RUN("its gradient, 2048 x 64",                                                                                       \
      th_batch_norm_backward(z, dweight, dbias, y, x, weight, bias, mean, istd, 2048, 64, 1, 0))                       \
  RUN("batch norm, 8192 x 3",                                                                                          \
      th_batch_norm(y, mean, istd, running_mean, running_var, x, weight, bias, SPATIAL, 3, 1e-5, 0.1, 1))              \
  RUN("batch norm, 512 x 1000",                                                                                        \
      th_batch_norm(y, mean, istd, running_mean, running_var, x, weight, bias, 512, 1000, 1e-5, 0.1, 1))               \
  RUN("layer norm, 700 x 200", th_layer_norm(y, mean, istd, x, weight, bias, TOKENS, 200, 1e-5))                       \
  RUN("its gradient, 700 x 200", th_layer_norm_backward(z, dweight, dbias, y, x, weight, mean, istd, TOKENS, 200))     \
  RUN("cross entropy + gradient, 700 x 10000", th_cross_entropy(dbias, y, x, ids, TOKENS, WORDS))                      \
  RUN("cross entropy + gradient, 128 x 10", th_cross_entropy(dbias, y, x, labels, 128, 10))                            \
  RUN("softmax, 700 x 10000", th_softmax(y, x, TOKENS, WORDS, 0))                                                      \
  RUN("Adam, 432000", th_adam(adam_table, 1, 1e-3, 0.9, 0.999, 1e-8, 0, 0, 0.1, 0.001))                                \
  RUN("clip, 432000", th_clip_grad_norm(dbias, clip_table, 1, 1))                                                      \
  RUN("embedding, 700 of 10000 x 200", th_embedding(y, x, ids, TOKENS, 200, WORDS))                                    \
  RUN("its gradient, 700 of 10000 x 200", th_embedding_backward(z, y, ids, TOKENS, 200, WORDS))                        \
  RUN("add, 131072", th_binary(y, x, z, LAYOUT(1, ELEMENTS, 1, 1, 1), TH_BINARY_ADD, 0, 0))                            \
  RUN("add, 1000", th_binary(y, x, z, LAYOUT(1, 1000, 1, 1, 1), TH_BINARY_ADD, 0, 0))                                  \
  RUN("add, 10", th_binary(y, x, z, LAYOUT(1, 10, 1, 1, 1), TH_BINARY_ADD, 0, 0))                                      \
  RUN("add bias, 8192 x 16",                                                                                           \
      th_binary(y, x, weight, LAYOUT(2, SPATIAL, CHANNELS, CHANNELS, 1, CHANNELS, 1, 0, 1), TH_BINARY_ADD, 0, 0))      \
  RUN("add column, 8192 x 16",                                                                                         \
      th_binary(y, x, z, LAYOUT(2, SPATIAL, CHANNELS, CHANNELS, 1, CHANNELS, 1, 1, 0), TH_BINARY_ADD, 0, 0))           \
  RUN("tanh, 131072", th_unary(y, x, LAYOUT(1, ELEMENTS, 1, 1), TH_UNARY_TANH, 0, 0))                                  \
  RUN("tanh, 20 x 200 of 800", th_unary(y, x, LAYOUT(2, 20, 200, 200, 1, 800, 1), TH_UNARY_TANH, 0, 0))                \
  RUN("exp, 131072", th_unary(y, x, LAYOUT(1, ELEMENTS, 1, 1), TH_UNARY_EXP, 0, 0))                                    \
  RUN("pow 2.5, 131072", th_unary(y, x, LAYOUT(1, ELEMENTS, 1, 1), TH_UNARY_POW_SCALAR, 0, 2.5))                       \
  RUN("copy of 128 x 3 x 32 x 32 to NHWC", th_copy(y, x, LAYOUT(3, 128, 1024, 3, 3072, 3, 1, 3072, 1, 1024)))          \
  RUN("copy of a transpose, 1000 x 1000", th_copy(y, x, LAYOUT(2, 1000, 1000, 1000, 1, 1, 1000)))                      \
  RUN("sum of 7 million", th_reduce(y, x, LAYOUT(1, TOKENS *WORDS, 1), 1, TH_REDUCE_SUM, 0, 1))                        \
  RUN("sum of 131072", th_reduce(y, x, LAYOUT(1, ELEMENTS, 1), 1, TH_REDUCE_SUM, 0, 1))                                \
  RUN("sum of rows, 8192 x 16", th_reduce(y, x, LAYOUT(2, SPATIAL, CHANNELS, CHANNELS, 1), 1, TH_REDUCE_SUM, 0, 1))    \
  RUN("sum of columns, 8192 x 16", th_reduce(y, x, LAYOUT(2, CHANNELS, SPATIAL, 1, CHANNELS), 1, TH_REDUCE_SUM, 0, 1)) \
  RUN("sum of columns, 700 x 10000", th_reduce(y, x, LAYOUT(2, WORDS, TOKENS, 1, WORDS), 1, TH_REDUCE_SUM, 0, 1))      \
  RUN("max of rows, 700 x 10000", th_reduce(y, x, LAYOUT(2, TOKENS, WORDS, WORDS, 1), 1, TH_REDUCE_MAX, 0, 1))         \
  RUN("log-sum-exp of rows, 700 x 10000",                                                                              \
      th_reduce(y, x, LAYOUT(2, TOKENS, WORDS, WORDS, 1), 1, TH_REDUCE_LOG_SUM_EXP, 0, 1))                             \
  RUN("arg max of rows, 128 x 10", th_reduce(y, x, LAYOUT(2, 128, 10, 10, 1), 1, TH_REDUCE_ARG_MAX, 0, 1))             \
  RUN("uniform, 131072", th_uniform(y, ELEMENTS, 0, 1, 1, 2))                                                          \
  RUN("normal, 131072", th_normal(y, ELEMENTS, 0, 1, 1, 2))                                                            \
  RUN("dropout, 700 x 200", th_dropout(y, x, TOKENS * 200, 0.5, 1, 2))                                                 \
  RUN("permutation of 50000", th_permutation((int32_t *)y, 50000, 1, 2))                                               \
  RUN("images, 128 x 3 x 32 x 32", th_gather_images(y, bytes, plan, 128, 3, 32, 32))

static int ascending(const void *a, const void *b) { return *(const double *)a < *(const double *)b ? -1 : 1; }

int main(int argc, char **argv) {
  enum { LARGEST = TOKENS * WORDS };
  if (argc > 1) th_set_threads(atoi(argv[1]));
  if (argc > 2 && th_set_isa(atoi(argv[2])) != TH_STATUS_OK) return puts(th_last_error()), 1;
  x = test_random(LARGEST, 1), y = test_random(LARGEST, 2), z = test_random(LARGEST, 3), w = test_random(LARGEST, 4);
  float **small[] = {&weight, &bias, &mean, &istd, &dweight, &dbias, &running_mean, &running_var};
  for (int i = 0; i < 8; i++) *small[i] = test_random(WORDS, 5);
  ids = malloc(sizeof *ids * TOKENS), plan = calloc(4 * 128, sizeof *plan), bytes = calloc(3072, 1000);
  for (int i = 0; i < TOKENS; i++) ids[i] = (int32_t)(i * 7919L % WORDS);
  for (int i = 0; i < 128; i++)
    plan[4 * i] = i % 10, plan[4 * i + 1] = i & 1, plan[4 * i + 2] = i % 5 - 2, plan[4 * i + 3] = i % 3 - 1;
  const double rows[] = {number_of(y), number_of(x), number_of(z), number_of(w), PARAMETERS};
  for (int i = 0; i < 5; i++) adam_table[i] = rows[i];
  for (int i = 0; i < PARAMETERS; i++) w[i] = w[i] * w[i];
  clip_table[0] = number_of(y), clip_table[1] = PARAMETERS;

  enum {
    KERNEL_COUNT = 0
#define ONE(NAME, CALL) +1
    KERNELS(ONE)
  };
  static double times[KERNEL_COUNT][ROUNDS];
  for (int round = 0; round < ROUNDS; round++) {
    int kernel = 0;
#define TIME(NAME, CALL)                                                                                               \
  {                                                                                                                    \
    CALL;                                                                                                              \
    const double start = test_seconds();                                                                               \
    CALL;                                                                                                              \
    times[kernel++][round] = 1e6 * (test_seconds() - start);                                                           \
  }
    KERNELS(TIME)
  }
  int kernel = 0;
#define REPORT(NAME, CALL)                                                                                             \
  qsort(times[kernel], ROUNDS, sizeof(double), ascending);                                                             \
  printf("%-42s %9.1f %9.1f\n", NAME, times[kernel][ROUNDS / 2], times[kernel][0]);                                    \
  kernel++;
  KERNELS(REPORT)
  return 0;
}
