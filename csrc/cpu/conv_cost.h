/* What a convolution costs, and how many threads it is worth. */
#ifndef TH_CONV_COST_H
#define TH_CONV_COST_H

#include "kernel.h"

#include "../common/window.h"

/** Arithmetic of a convolution, taps outside the images counted as if they were inside. */
TH_INLINE double conv_flops(const th_conv_shape *s) {
  return 2.0 * (double)(s->n * s->oh * s->ow) * (double)(s->kh * s->kw) * (double)(s->c * s->f);
}

/** Threads worth their fork for a convolution. */
TH_INLINE int conv_threads(const th_conv_shape *s) { return th_threads_for(conv_flops(s), 4e5); }

#endif
