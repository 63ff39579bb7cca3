/* Convolution over NHWC images. */
#include "kernel.h"

#include <string.h>

typedef struct {
  ptrdiff_t n, h, w, c, f, kh, kw, stride, padding, oh, ow;
} geometry;

static geometry read_geometry(const int32_t *g) {
  geometry r = {g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], 0, 0};
  r.oh = (r.h + 2 * r.padding - r.kh) / r.stride + 1;
  r.ow = (r.w + 2 * r.padding - r.kw) / r.stride + 1;
  return r;
}

/* Every (output pixel, tap) pair inside the image, with pointers to its channels in x, weight and y. */
#define FOR_EACH_TAP(g)                                                                                      \
  for (ptrdiff_t image = 0; image < g.n; image++)                                                            \
    for (ptrdiff_t oy = 0; oy < g.oh; oy++)                                                                  \
      for (ptrdiff_t ox = 0; ox < g.ow; ox++)                                                                \
        for (ptrdiff_t ky = 0; ky < g.kh; ky++)                                                              \
          for (ptrdiff_t kx = 0; kx < g.kw; kx++)                                                            \
            for (ptrdiff_t iy = oy * g.stride - g.padding + ky, ix = ox * g.stride - g.padding + kx, once = 1; \
                 once && iy >= 0 && ix >= 0 && iy < g.h && ix < g.w; once = 0)
#define X_AT (((image * g.h + iy) * g.w + ix) * g.c)
#define W_AT ((ky * g.kw + kx) * g.c * g.f)
#define Y_AT (((image * g.oh + oy) * g.ow + ox) * g.f)

int32_t th_conv(float *y, const float *x, const float *weight, const float *bias, const int32_t *geometry_) {
  const geometry g = read_geometry(geometry_);
  for (ptrdiff_t i = 0; i < g.n * g.oh * g.ow * g.f; i++) y[i] = bias ? bias[i % g.f] : 0;
  FOR_EACH_TAP(g)
    for (ptrdiff_t c = 0; c < g.c; c++)
      for (ptrdiff_t f = 0; f < g.f; f++) y[Y_AT + f] += x[X_AT + c] * weight[W_AT + c * g.f + f];
  return TH_STATUS_OK;
}

int32_t th_conv_backward_data(float *dx, const float *dy, const float *weight, const int32_t *geometry_) {
  const geometry g = read_geometry(geometry_);
  memset(dx, 0, sizeof(float) * (size_t)(g.n * g.h * g.w * g.c));
  FOR_EACH_TAP(g)
    for (ptrdiff_t c = 0; c < g.c; c++)
      for (ptrdiff_t f = 0; f < g.f; f++) dx[X_AT + c] += dy[Y_AT + f] * weight[W_AT + c * g.f + f];
  return TH_STATUS_OK;
}

int32_t th_conv_backward_weight(float *dweight, float *dbias, const float *x, const float *dy, const int32_t *geometry_) {
  const geometry g = read_geometry(geometry_);
  memset(dweight, 0, sizeof(float) * (size_t)(g.kh * g.kw * g.c * g.f));
  FOR_EACH_TAP(g)
    for (ptrdiff_t c = 0; c < g.c; c++)
      for (ptrdiff_t f = 0; f < g.f; f++) dweight[W_AT + c * g.f + f] += x[X_AT + c] * dy[Y_AT + f];
  if (dbias) {
    memset(dbias, 0, sizeof(float) * (size_t)g.f);
    for (ptrdiff_t i = 0; i < g.n * g.oh * g.ow * g.f; i++) dbias[i % g.f] += dy[i];
  }
  return TH_STATUS_OK;
}
