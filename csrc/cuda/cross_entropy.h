/* The cross-entropy of rows of logits, for softmax.cu and linear_cross_entropy.cu. */
#ifndef TH_CUDA_CROSS_ENTROPY_H
#define TH_CUDA_CROSS_ENTROPY_H

#include "device.h"

/** What is made of each row. */
struct th_row_results {
  double *losses;
  float *correct;  /* whether its first largest logit is the label's; NULL: not asked for */
  float *gradient; /* (rows, cols): of its loss, times a scale; may be the logits; NULL: not asked for */
};

/** The results of x (rows, cols), whose first row is number `first_row` in the report of a label out of range. */
int32_t th_cross_entropy_rows(const th_row_results &results, const float *x, const int32_t *labels, int32_t first_row,
                              int32_t rows, int32_t cols, float scale);

/** The mean of the losses and, unless NULL, the number of correct rows. */
int32_t th_sum_row_results(float *loss, float *correct, const th_row_results &results, int32_t rows);

#endif
