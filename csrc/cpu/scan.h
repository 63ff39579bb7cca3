/* Reductions that visit elements in their logical order. (A scan in the other sense, running sums, is in cum_sum.c.) */
#ifndef TH_SCAN_H
#define TH_SCAN_H

#include "kernel.h"

/** th_reduce for TH_REDUCE_ARG_MAX and TH_REDUCE_ARG_MIN, and for int32. */
void TH_ISA_NAME(th_scan)(void *out, const void *in, const int32_t *layout, int32_t reduced, int32_t op, int32_t dtype);
#define th_scan TH_ISA_NAME(th_scan)

#endif
