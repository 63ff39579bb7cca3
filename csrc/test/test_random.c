/* Random numbers: Philox's published vectors, ranges and moments, and the same bits everywhere. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/** Philox 4x32-10 with counter {index, 0, 0, 0}, word by word as the paper has it. */
static void philox(uint32_t out[4], uint32_t counter[4], uint32_t key0, uint32_t key1) {
  memcpy(out, counter, 4 * sizeof *out);
  for (int round = 0; round < 10; round++, key0 += 0x9e3779b9u, key1 += 0xbb67ae85u) {
    const uint64_t a = (uint64_t)out[0] * 0xd2511f53u, b = (uint64_t)out[2] * 0xcd9e8d57u;
    const uint32_t next[] = {(uint32_t)(b >> 32) ^ out[1] ^ key0, (uint32_t)b, (uint32_t)(a >> 32) ^ out[3] ^ key1,
                             (uint32_t)a};
    memcpy(out, next, sizeof next);
  }
}

/** The known answers of Random123's kat_vectors for this reference; then the kernel agrees with it. */
TEST_SUITE(philox) {
  static const struct {
    uint32_t counter[4], key[2], answer[4];
  } known[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  uint32_t words[4];
  for (int i = 0; i < 3; i++) {
    uint32_t counter[4];
    memcpy(counter, known[i].counter, sizeof counter);
    philox(words, counter, known[i].key[0], known[i].key[1]);
    check(!memcmp(words, known[i].answer, sizeof words), "known answer %d", i);
  }
  enum { N = 20003 };
  float *out = test_nan(N);
  th_uniform(out, N, 0, 1, 0, 0);
  check(out[0] == (float)(0x6627e8d5u >> 8) * 0x1p-24f && out[3] == (float)(0x9b00dbd8u >> 8) * 0x1p-24f,
        "the first block is the known answer");
  th_uniform(out, N, 0, 1, -77, 1234567);
  for (uint32_t i = 0; i < N; i++) {
    uint32_t counter[4] = {i / 4, 0, 0, 0};
    philox(words, counter, (uint32_t)-77, 1234567);
    if (!check(out[i] == (float)(words[i % 4] >> 8) * 0x1p-24f, "element %u", i)) break;
  }
  free(out);
}

enum { COUNT = 1000001 };

static void moments(const float *x, double *mean, double *variance) {
  *mean = *variance = 0;
  for (ptrdiff_t i = 0; i < COUNT; i++) *mean += (double)x[i] / COUNT;
  for (ptrdiff_t i = 0; i < COUNT; i++) *variance += ((double)x[i] - *mean) * ((double)x[i] - *mean) / COUNT;
}

/** FNV-1a of the bits. */
static uint64_t hash(const void *data, size_t bytes) {
  uint64_t h = 0xcbf29ce484222325u;
  for (size_t i = 0; i < bytes; i++) h = (h ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
  return h;
}

/** Every instruction set and thread count must give what the first one gave. */
static void check_same(const char *name, const void *data, size_t bytes, uint64_t *first) {
  const uint64_t h = hash(data, bytes);
  if (!*first) *first = h;
  check(h == *first, "%s has the same bits with every instruction set and thread count", name);
}

TEST_SUITE(uniform) {
  static uint64_t first;
  float *x = test_nan(COUNT);
  double mean, variance;
  th_uniform(x, COUNT, -2, 4, 3, 5);
  moments(x, &mean, &variance);
  check(fabs(mean - 1) < 0.01 && fabs(variance - 3) < 0.02, "moments %g, %g", mean, variance);
  check_same("uniform", x, sizeof(float) * COUNT, &first);
  th_uniform(x, COUNT, 1, (double)nextafterf(1, 2), 3, 5);
  int inside = 1;
  for (ptrdiff_t i = 0; i < COUNT; i++) inside &= x[i] == 1;
  check(inside, "the upper end is excluded");
  th_uniform(x, 3, 2.5, 2.5, 3, 5);
  check(x[0] == 2.5f && x[2] == 2.5f, "an empty range");
  th_uniform(x, 0, 0, 1, 3, 5);
  free(x);
}

TEST_SUITE(normal) {
  static uint64_t first;
  float *x = test_nan(COUNT);
  double mean, variance, fourth = 0;
  ptrdiff_t within = 0;
  th_normal(x, COUNT, 0, 1, 3, 5);
  moments(x, &mean, &variance);
  for (ptrdiff_t i = 0; i < COUNT; i++) {
    fourth += pow((double)x[i], 4) / COUNT;
    within += fabsf(x[i]) < 1;
  }
  check(fabs(mean) < 0.005 && fabs(variance - 1) < 0.01 && fabs(fourth - 3) < 0.05, "moments %g, %g, %g", mean,
        variance, fourth);
  check(fabs((double)within / COUNT - 0.682689) < 0.002, "%g within one deviation", (double)within / COUNT);
  check_same("normal", x, sizeof(float) * COUNT, &first);

  for (uint32_t i = 0; i < 1000; i += 2) { /* Box-Muller of the words */
    uint32_t words[4], counter[4] = {i / 4, 0, 0, 0};
    philox(words, counter, 3, 5);
    const double radius = sqrt(-2 * log(((words[i % 4] >> 8) + 1) * 0x1p-24)),
                 angle = 2 * acos(-1) * (words[i % 4 + 1] >> 8) * 0x1p-24;
    check(fabs((double)x[i] - radius * cos(angle)) < 1e-6 && fabs((double)x[i + 1] - radius * sin(angle)) < 1e-6,
          "elements %u: %g, %g, not %g, %g", i, (double)x[i], (double)x[i + 1], radius * cos(angle),
          radius * sin(angle));
  }
  th_normal(x, COUNT, 10, 0.5, 3, 6);
  moments(x, &mean, &variance);
  check(fabs(mean - 10) < 0.005 && fabs(variance - 0.25) < 0.005, "moments %g, %g", mean, variance);
  free(x);
}

TEST_SUITE(dropout) {
  static uint64_t first;
  float *x = test_random(COUNT, 1), *y = test_nan(COUNT), *z = test_random(COUNT, 1);
  ptrdiff_t kept = 0, wrong = 0;
  th_dropout(y, x, COUNT, 0.3, 7, 8);
  for (ptrdiff_t i = 0; i < COUNT; i++) {
    kept += y[i] != 0;
    wrong += y[i] != 0 && y[i] != x[i] * (float)(1 / 0.7);
  }
  check(fabs((double)kept / COUNT - 0.7) < 0.003, "%g are kept", (double)kept / COUNT);
  check(wrong == 0, "%td of those that are kept are not scaled by 1 / 0.7", wrong);
  check_same("dropout", y, sizeof(float) * COUNT, &first);
  th_dropout(z, z, COUNT, 0.3, 7, 8);
  check(!memcmp(y, z, sizeof(float) * COUNT), "dropout in place");
  th_dropout(y, x, COUNT, 0, 7, 8);
  check(!memcmp(y, x, sizeof(float) * COUNT), "p = 0 keeps everything");
  x[1] = NAN;
  th_dropout(y, x, COUNT, 1, 7, 8);
  kept = 0;
  for (ptrdiff_t i = 0; i < COUNT; i++) kept += y[i] != 0;
  check(kept == 0, "p = 1 drops everything, NaN too");
  free(x), free(y), free(z);
}

TEST_SUITE(permutation) {
  static uint64_t first;
  enum { N = 50000 };
  int32_t *order = malloc(sizeof *order * N), *seen = calloc(N, sizeof *seen);
  th_permutation(order, N, 1, 2);
  int all = 1, fixed = 0;
  for (int i = 0; i < N; i++) seen[order[i]]++, fixed += order[i] == i;
  for (int i = 0; i < N; i++) all &= seen[i] == 1;
  check(all, "each index once");
  check(fixed < 12, "%d indices stay; one is expected", fixed);
  check_same("permutation", order, sizeof *order * N, &first);
  int counts[6] = {0};
  for (int stream = 0; stream < 6000; stream++) {
    th_permutation(order, 3, 9, stream);
    counts[order[0] * 2 + (order[1] > order[2])]++;
  }
  for (int i = 0; i < 6; i++)
    check(counts[i] > 850 && counts[i] < 1150, "order %d of three came %d times of 6000", i, counts[i]);
  th_permutation(order, 1, 1, 2);
  check(order[0] == 0, "a permutation of one");
  th_permutation(order, 0, 1, 2);
  free(order), free(seen);
}

/** 64 bits: words 2i and 2i + 1. */
static uint64_t pair(uint32_t i, int32_t seed, int32_t stream) {
  uint32_t words[4], counter[4] = {i / 2, 0, 0, 0};
  philox(words, counter, (uint32_t)seed, (uint32_t)stream);
  return (uint64_t)words[2 * (i % 2) + 1] << 32 | words[2 * (i % 2)];
}

static void check_randint(int32_t *x, int32_t n, double low, double high, int32_t stream) {
  th_randint(x, n, low, high, 3, stream);
  for (int32_t i = 0; i < n; i++) {
    const unsigned __int128 scaled = (unsigned __int128)pair((uint32_t)i, 3, stream) * (uint64_t)(high - low);
    if (!check(x[i] == (int32_t)(low + (double)(uint64_t)(scaled >> 64)), "element %d in [%g, %g)", i, low, high))
      return;
  }
}

TEST_SUITE(randint_any) {
  static uint64_t first;
  int32_t *x = malloc(sizeof *x * COUNT);
  uint64_t state = 4;
  for (int i = 0; i < 10 * test_draws; i++)
    check_randint(x, test_pick(&state, 1, 60000), test_pick(&state, 0, 99) - 50, test_pick(&state, 50, 1 << 24), i);
  check_randint(x, 1000, -0x1p31, 0x1p31, 7);
  check_randint(x, 1000, 0x1p31 - 1, 0x1p31, 7);
  th_randint(x, COUNT, -3, 7, 3, 5);
  int counts[10] = {0};
  for (ptrdiff_t i = 0; i < COUNT; i++) counts[x[i] + 3]++;
  for (int i = 0; i < 10; i++) check(abs(counts[i] - COUNT / 10) < 1500, "%d came %d times", i - 3, counts[i]);
  check_same("randint", x, sizeof *x * COUNT, &first);
  th_randint(x, 0, 0, 1, 3, 5);
  free(x);
}

/** The sum of the leaves below a node, in the order of thimble's tree. */
static double sum_below(const double *weights, uint32_t n, uint32_t node) {
  if (node >= n) return weights[node - n];
  return sum_below(weights, n, 2 * node) + sum_below(weights, n, 2 * node + 1);
}

static uint32_t draw(const double *weights, uint32_t n, uint64_t random) {
  double left = (double)(random >> 11) * 0x1p-53 * sum_below(weights, n, 1);
  uint32_t node = 1;
  while (node < n) {
    const double below = sum_below(weights, n, 2 * node);
    const int right = left >= below && sum_below(weights, n, 2 * node + 1) > 0;
    if (right) left -= below;
    node = 2 * node + (uint32_t)right;
  }
  return node - n;
}

static void check_multinomial(int rows, int cols, int count, int replacement, int32_t stream) {
  float *weights = test_random((ptrdiff_t)rows * cols, (uint64_t)stream);
  int32_t *out = malloc(sizeof *out * (size_t)(rows * count + 1));
  double *left = malloc(sizeof *left * (size_t)cols);
  for (ptrdiff_t i = 0; i < (ptrdiff_t)rows * cols; i++) /* a third of them zero, but not the first `count` */
    weights[i] = weights[i] < -0.3f && i % cols >= count ? 0 : powf(10, 8 * weights[i]);
  out[rows * count] = -1;
  check(th_multinomial(out, weights, rows, cols, count, replacement, 9, stream) == TH_STATUS_OK, "status");
  check(out[rows * count] == -1, "nothing is written behind the indices");
  int wrong = 0;
  for (int d = 0; d < rows * count; d++) {
    if (d % count == 0 || replacement)
      for (int i = 0; i < cols; i++) left[i] = (double)weights[d / count * cols + i];
    wrong += out[d] != (int32_t)draw(left, (uint32_t)cols, pair((uint32_t)d, 9, stream));
    wrong += left[out[d]] == 0;
    left[out[d]] = 0;
  }
  check(wrong == 0, "%d wrong of %d of %d indices of %d rows, replacement %d", wrong, count, cols, rows, replacement);
  free(weights), free(out), free(left);
}

TEST_SUITE(multinomial_any) {
  uint64_t state = 5;
  for (int i = 0; i < 12 * test_draws; i++) {
    const int cols = test_pick(&state, 1, 300), rows = test_pick(&state, 1, 40), replacement = test_pick(&state, 0, 1);
    check_multinomial(rows, cols, test_pick(&state, 1, replacement ? 60 : cols < 20 ? cols : 20), replacement, i);
  }
  check_multinomial(1, 1, 1, 0, 50);
  check_multinomial(2, 17, 17, 0, 51);
  check_multinomial(2, 17, 17, 1, 52);
  check(th_multinomial(NULL, NULL, 0, 3, 2, 1, 1, 2) == TH_STATUS_OK, "no rows");
}

TEST_SUITE(multinomial) {
  static uint64_t first, first_of_many;
  enum { DRAWS = 60000, LARGE = 50257 };
  const float weights[] = {0, 3, 0, 1, 2, 0};
  int32_t *out = malloc(sizeof *out * DRAWS);
  th_multinomial(out, weights, 1, 6, DRAWS, 1, 1, 2);
  int counts[6] = {0};
  for (int i = 0; i < DRAWS; i++) counts[out[i]]++;
  for (int i = 0; i < 6; i++)
    check(abs(counts[i] - (int)weights[i] * DRAWS / 6) <= (weights[i] > 0 ? 600 : 0), "%d came %d times", i, counts[i]);
  check_same("multinomial", out, sizeof *out * DRAWS, &first);
  float *large = test_random(LARGE, 3);
  for (int i = 0; i < LARGE; i++) large[i] += 1;
  th_multinomial(out, large, 1, LARGE, DRAWS, 1, 1, 2);
  check_same("multinomial of many", out, sizeof *out * DRAWS, &first_of_many);
  int32_t *seen = calloc(LARGE, sizeof *seen); /* each, once, in an order that the weights decide */
  th_multinomial(out, large, 1, LARGE, LARGE, 0, 1, 2);
  int all = 1;
  double early = 0, late = 0;
  for (int i = 0; i < LARGE; i++) all &= ++seen[out[i]] == 1;
  for (int i = 0; i < LARGE / 2; i++) early += (double)large[out[i]], late += (double)large[out[LARGE - 1 - i]];
  check(all, "all of %d, each once",
        LARGE); /* as in exponential races: a half of them by 0.797 in units of 1 / weight */
  check(fabs(early / late - 1.69) < 0.05, "the first half weighs %g times as much as the second", early / late);
  free(out), free(large), free(seen);
}
