/* The forward convolution with an epilogue: behind th_conv, and behind each of th_layers. */
#ifndef TH_CONVOLVE_H
#define TH_CONVOLVE_H

#include "conv_cost.h"
#include "microkernel.h"
#include "parallel.h"

/** y = conv(x, weight) + bias (f; NULL for none), then the epilogue. Returns a th_status. */
#define convolve TH_ISA_NAME(convolve)
int32_t convolve(float *y, const float *x, const float *weight, const float *bias, const th_epilogue *epilogue,
                 const th_conv_shape *shape);

/** A member's share of y = conv(x, weight) + bias (f; NULL for none), then the epilogue. Whether it goes by Winograd's filtering
    is chosen for `counted` threads; the bits of y do not depend on how many share it. Returns a th_status. */
#define convolve_share TH_ISA_NAME(convolve_share)
int32_t convolve_share(float *y, const float *x, const float *weight, const float *bias, const th_epilogue *epilogue,
                       const th_conv_shape *shape, int counted, th_member m);

#endif
