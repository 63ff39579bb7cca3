/* The direct weight gradient, as a step of another one. */
#ifndef TH_CONV_WEIGHT_H
#define TH_CONV_WEIGHT_H

#include "conv_cost.h"
#include "microkernel.h"

enum { WEIGHT_GRADIENT_PIXELS = 256 }; /* rows of a packed panel of dy: 16 KB with AVX2, 32 KB with AVX-512 */

/** dweight (kh, kw, c, f) = or, with `accumulate`, += the weight gradient of a convolution without padding, on the calling thread.
    `packed` is work space of WEIGHT_GRADIENT_PIXELS · NR floats. */
#define weight_gradient_sum TH_ISA_NAME(weight_gradient_sum)
void weight_gradient_sum(const th_conv_shape *s, const float *x, const float *dy, float *dweight, int accumulate,
                         float *packed);

#endif
