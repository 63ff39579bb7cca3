/* The data gradient of a convolution as a matrix product and col2im, for few channels. */
#ifndef TH_COL2IM_H
#define TH_COL2IM_H

#include "conv_cost.h"

#define conv_backward_data_columns TH_ISA_NAME(conv_backward_data_columns)
/** dx from dy, all pixels of it. Returns a th_status. */
int32_t conv_backward_data_columns(float *dx, const float *dy, const float *weight, const th_conv_shape *shape);

#endif
