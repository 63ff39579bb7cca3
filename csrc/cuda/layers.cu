/*
 * Inference through layers in a row: the kernels of each one after another, what follows a convolution in place. The images
 * of a layer are small next to its weights' products.
 */
#include "device.h"

#include "../common/window.h"

namespace {

float *address(double value) { return (float *)(uintptr_t)value; }

/** Where the n images before or after a layer are: in the input, the output or the work space. */
struct places {
  float *y;
  const float *x;
  float *work;
  int32_t n;
  float *at(double entry) const {
    const auto place = (int64_t)entry;
    return place == TH_PLACE_X ? (float *)x : place == TH_PLACE_Y ? y : work + n * place;
  }
};

int32_t run_layer(const places &images, const double *layer) {
  int32_t geometry[9] = {images.n};
  for (int i = 0; i < 8; i++) geometry[1 + i] = (int32_t)layer[TH_LAYER_H + i];
  const th_conv_shape s = th_read_conv_shape(geometry);
  const int32_t pixels = s.n * s.oh * s.ow, contiguous[] = {1, pixels * s.f, 1, 1, 1};
  float *const y = images.at(layer[TH_LAYER_OUT]);
  const float *const gamma = address(layer[TH_LAYER_GAMMA]);
  const int32_t relu = layer[TH_LAYER_RELU] != 0;

  TH_TRY(th_conv(y, images.at(layer[TH_LAYER_IN]), address(layer[TH_LAYER_WEIGHT]), address(layer[TH_LAYER_BIAS]),
                 geometry));
  if (gamma)
    TH_TRY(th_batch_norm_inference(y, y, gamma, address(layer[TH_LAYER_BETA]), address(layer[TH_LAYER_MEAN]),
                                   address(layer[TH_LAYER_VAR]), pixels, s.f, layer[TH_LAYER_EPS], relu));
  else if (relu) TH_TRY(th_unary(y, y, contiguous, TH_UNARY_RELU, TH_DTYPE_FLOAT32, 0));
  if ((int64_t)layer[TH_LAYER_ADD] != TH_PLACE_NONE)
    TH_TRY(th_binary(y, y, images.at(layer[TH_LAYER_ADD]), contiguous, TH_BINARY_ADD, TH_DTYPE_FLOAT32, 0));
  if (layer[TH_LAYER_RELU_AFTER] != 0) TH_TRY(th_unary(y, y, contiguous, TH_UNARY_RELU, TH_DTYPE_FLOAT32, 0));
  return TH_STATUS_OK;
}

} // namespace

int32_t th_layers(float *y, const float *x, float *work, const double *host_layers, int32_t count, int32_t n, double) {
  const places images = {y, x, work, n};
  for (int32_t i = 0; i < count; i++) TH_TRY(run_layer(images, host_layers + i * TH_LAYER_ENTRIES));
  return TH_STATUS_OK;
}
