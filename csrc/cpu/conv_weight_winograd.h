/* The weight gradient by Winograd's minimal filtering, for windows of 3 × 3 or 2 × 2 taps (winograd.h). */
#ifndef TH_CONV_WEIGHT_WINOGRAD_H
#define TH_CONV_WEIGHT_WINOGRAD_H

#include "winograd.h"

/** Floats of work space for columns of dweight, a multiple of 16. */
#define winograd_weight_scratch TH_ISA_NAME(winograd_weight_scratch)
ptrdiff_t winograd_weight_scratch(const th_conv_shape *s, ptrdiff_t columns);

/** What tiles from on to `to` contribute to columns begin to end of dweight and, unless it is NULL, of dbias. */
#define weight_gradient_winograd TH_ISA_NAME(weight_gradient_winograd)
void weight_gradient_winograd(const th_conv_shape *s, const float *x, const float *dy, ptrdiff_t from, ptrdiff_t to,
                              ptrdiff_t begin, ptrdiff_t end, float *dweight, float *dbias, float *scratch);

#endif
