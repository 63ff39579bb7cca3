/* Convolution and its weight gradient by Winograd's minimal filtering along columns (winograd_1d.h). */
#ifndef TH_CONV_WINOGRAD_1D_H
#define TH_CONV_WINOGRAD_1D_H

#include "parallel.h"
#include "winograd_1d.h"

/** As convolve and convolve_share (convolve.h). */
#define convolve_1d TH_ISA_NAME(convolve_1d)
int32_t convolve_1d(float *y, const float *x, const float *weight, const float *bias, const th_epilogue *epilogue,
                    const th_conv_shape *s);
#define convolve_1d_share TH_ISA_NAME(convolve_1d_share)
int32_t convolve_1d_share(float *y, const float *x, const float *weight, const float *bias, const th_epilogue *epilogue,
                          const th_conv_shape *s, th_member member);

/** As th_conv_backward_weight. */
#define weight_gradient_1d TH_ISA_NAME(weight_gradient_1d)
int32_t weight_gradient_1d(float *dweight, float *dbias, const float *x, const float *dy, const th_conv_shape *shape);

#endif
