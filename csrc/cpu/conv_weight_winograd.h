/* The weight gradient by Winograd's minimal filtering, for windows of 3 × 3 taps that move by one pixel. */
#ifndef TH_CONV_WEIGHT_WINOGRAD_H
#define TH_CONV_WEIGHT_WINOGRAD_H

#include "winograd.h"

/** Floats of work space for columns of dweight, a multiple of 16. */
#define winograd_weight_scratch TH_ISA_NAME(winograd_weight_scratch)
ptrdiff_t winograd_weight_scratch(const th_conv_shape *s, ptrdiff_t columns);

/** What tiles first to last contribute to columns begin to end of dweight and, unless it is NULL, of dbias. */
#define weight_gradient_winograd TH_ISA_NAME(weight_gradient_winograd)
void weight_gradient_winograd(const th_conv_shape *s, const float *x, const float *dy, ptrdiff_t first, ptrdiff_t last,
                              ptrdiff_t begin, ptrdiff_t end, float *dweight, float *dbias, float *scratch);

#endif
