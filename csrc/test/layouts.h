/* Strided arrays for tests, in memory of exactly their extent, so that AddressSanitizer finds every step outside. */
#ifndef TH_TEST_LAYOUTS_H
#define TH_TEST_LAYOUTS_H

#include "test.h"

/** How an array of a shape lies in memory. */
typedef enum {
  CONTIGUOUS,
  PERMUTED,  /* the first axis is innermost */
  SWAPPED,   /* the last two axes are swapped */
  GAPS,      /* every second element of each row */
  FLIPPED,   /* negative strides */
  BROADCAST, /* even axes have stride zero; inputs only */
  ROWS,      /* only the last axis has a stride; inputs only */
  SCALAR,    /* all strides are zero; inputs only */
  KINDS,
} test_kind;

typedef struct {
  int ndim, shape[16];
  ptrdiff_t count;
} test_shape;

enum { TEST_SHAPES = 21 };
extern const test_shape test_shapes[TEST_SHAPES];

typedef struct {
  float *memory;    /* free this */
  float *first;     /* the element with index 0 on every axis */
  ptrdiff_t floats; /* in memory */
  int stride[16];
} test_array;

/** An array of random numbers in [-1, 1). */
test_array test_strided(const test_shape *shape, test_kind kind, uint64_t seed);
/** Where the element with the given linear index is, from `first`. */
ptrdiff_t test_offset(const test_shape *shape, const test_array *array, ptrdiff_t index);
/** Writes {ndim, shape, strides of each array} for the ABI. */
void test_layout(int32_t layout[], const test_shape *shape, int operands, const test_array *const arrays[]);

#endif
