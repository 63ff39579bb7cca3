/*
 * Pooling: the maximum or mean of each window of NHWC images, a vector of channels at a time.
 *
 * The gradients are gathered: each pixel adds up the windows that it is in, in their order. So windows that overlap need
 * no atomics, nothing is cleared first, and the result is the same with any number of threads. For that the maximum
 * keeps the pixel that it is from; finding it again in x would take more traffic wherever windows have more than two pixels.
 */
#include "parallel.h"
#include "stream.h"

#include "../common/window.h"

#include <math.h>

static const double GRAIN = 16384; /* elements worth a thread */

/* -------------------------------------------------------------------------------------------------- pixels */

/** An image of the output and what it is made from. Indices are int32, of which only the bits are handled here. */
typedef struct {
  float *out, *index_out; /* index_out may be NULL */
  const float *in, *index;
  ptrdiff_t width, c; /* of `in` */
  float scale;
  int stream; /* whether `out` is written past the caches */
} image;

/** Makes n channels, VL but for the last ones, of output pixel `at` from rows v and columns u of the input. */
typedef void pixel_task(const image *m, ptrdiff_t at, th_span v, th_span u, ptrdiff_t channel, ptrdiff_t n);

TH_INLINE vec load(const float *p, ptrdiff_t n) { return n == VL ? vec_load(p) : vec_load_part(p, n); }
TH_INLINE void store(float *p, vec v, ptrdiff_t n, int stream) {
  if (n < VL) vec_store_part(p, v, n);
  else if (stream) vec_stream(p, v);
  else vec_store(p, v);
}
TH_INLINE mask broadcast(ptrdiff_t x) { return (int32_t)x - (mask){0}; }

TH_INLINE void max_pixel(const image *m, ptrdiff_t at, th_span v, th_span u, ptrdiff_t channel, ptrdiff_t n) {
  vec best = vec_broadcast(-INFINITY);
  mask from = broadcast(v.first * m->width + u.first);
  for (ptrdiff_t y = v.first; y < v.last; y++)
    for (ptrdiff_t x = u.first; x < u.last; x++) {
      const ptrdiff_t pixel = y * m->width + x;
      const vec value = load(m->in + pixel * m->c + channel, n);
      const mask wins = (value > best) | (value != value);
      best = (vec)((mask)keep_where(wins, value) | (mask)drop_where(wins, best));
      from = (broadcast(pixel) & wins) | (from & ~wins);
    }
  store(m->out + at * m->c + channel, best, n, 0);
  if (m->index_out) store(m->index_out + at * m->c + channel, (vec)from, n, 0);
}

TH_INLINE void max_gradient_pixel(const image *m, ptrdiff_t at, th_span v, th_span u, ptrdiff_t channel, ptrdiff_t n) {
  vec sum = {0};
  for (ptrdiff_t y = v.first; y < v.last; y++)
    for (ptrdiff_t x = u.first; x < u.last; x++) {
      const ptrdiff_t window = (y * m->width + x) * m->c + channel;
      sum += keep_where((mask)load(m->index + window, n) == broadcast(at), load(m->in + window, n));
    }
  store(m->out + at * m->c + channel, sum, n, m->stream);
}

/** The sum of a window, scaled, and its gradient. */
TH_INLINE void sum_pixel(const image *m, ptrdiff_t at, th_span v, th_span u, ptrdiff_t channel, ptrdiff_t n) {
  vec sum = {0};
  for (ptrdiff_t y = v.first; y < v.last; y++)
    for (ptrdiff_t x = u.first; x < u.last; x++) sum += load(m->in + (y * m->width + x) * m->c + channel, n);
  store(m->out + at * m->c + channel, sum * m->scale, n, m->stream);
}

/* ---------------------------------------------------------------------------------------------------- rows */

TH_INLINE void make_channels(const image *m, pixel_task *task, ptrdiff_t at, th_span v, th_span u) {
  ptrdiff_t channel = 0;
  for (; channel + VL <= m->c; channel += VL) task(m, at, v, u, channel, VL);
  if (channel < m->c) task(m, at, v, u, channel, m->c - channel);
}

/** The usual windows have loops of their own, unrolled. */
TH_INLINE void make_pixel(const image *m, pixel_task *task, ptrdiff_t at, th_span v, th_span u) {
  const ptrdiff_t rows = v.last - v.first, columns = u.last - u.first;
  if (rows == 1 && columns == 1)
    make_channels(m, task, at, (th_span){v.first, v.first + 1}, (th_span){u.first, u.first + 1});
  else if (rows == 2 && columns == 2)
    make_channels(m, task, at, (th_span){v.first, v.first + 2}, (th_span){u.first, u.first + 2});
  else if (rows == 3 && columns == 3)
    make_channels(m, task, at, (th_span){v.first, v.first + 3}, (th_span){u.first, u.first + 3});
  else make_channels(m, task, at, v, u);
}

/** All rows of y from those of x. */
TH_INLINE void make_windows(image all, pixel_task *task, const th_pool_shape *s) {
  const ptrdiff_t taps = th_min(s->k, s->h) * th_min(s->k, s->w);
  const int parts = th_threads_for((double)(s->n * s->oh * s->ow * s->c) * (double)taps, GRAIN);
  TH_PARALLEL_FOR(parts, row, s->n * s->oh, {
    const ptrdiff_t i = row / s->oh, y = row % s->oh, to = i * s->oh * s->ow * s->c;
    image m = all;
    m.in += i * s->h * s->w * s->c, m.out += to;
    if (m.index_out) m.index_out += to;
    const th_span v = th_pixels_of(y, s->h, s);
    for (ptrdiff_t x = 0; x < s->ow; x++) make_pixel(&m, task, y * s->ow + x, v, th_pixels_of(x, s->w, s));
  });
}

/** All rows of dx from those of dy. */
TH_INLINE void make_gradients(image all, pixel_task *task, const th_pool_shape *s) {
  const ptrdiff_t size = s->n * s->h * s->w * s->c, taps = th_ceil_div(s->k, s->stride);
  const int parts = th_threads_for((double)size * (double)taps * (double)taps, GRAIN);
  all.stream = STREAMS && size >= STREAMED_FROM && s->c % LINE == 0 && (uintptr_t)all.out % sizeof(vec) == 0;
  TH_PARALLEL_FOR(parts, row, s->n * s->h, {
    const ptrdiff_t i = row / s->h, y = row % s->h, from = i * s->oh * s->ow * s->c;
    image m = all;
    m.in += from, m.out += i * s->h * s->w * s->c;
    if (m.index) m.index += from;
    const th_span v = th_windows_with(y, s->oh, s);
    for (ptrdiff_t x = 0; x < s->w; x++) make_pixel(&m, task, y * s->w + x, v, th_windows_with(x, s->ow, s));
    if (m.stream) end_streams();
  });
}

/* ------------------------------------------------------------------------------------------------- kernels */

int32_t th_max_pool(float *y, int32_t *index, const float *x, const int32_t *geometry) {
  const th_pool_shape s = th_read_pool_shape(geometry);
  make_windows((image){.out = y, .index_out = (float *)index, .in = x, .width = s.w, .c = s.c}, max_pixel, &s);
  return TH_STATUS_OK;
}

int32_t th_max_pool_backward(float *dx, const float *dy, const int32_t *index, const int32_t *geometry) {
  const th_pool_shape s = th_read_pool_shape(geometry);
  const image all = {.out = dx, .in = dy, .index = (const float *)index, .width = s.ow, .c = s.c};
  make_gradients(all, max_gradient_pixel, &s);
  return TH_STATUS_OK;
}

int32_t th_avg_pool(float *y, const float *x, const int32_t *geometry, double scale) {
  const th_pool_shape s = th_read_pool_shape(geometry);
  make_windows((image){.out = y, .in = x, .width = s.w, .c = s.c, .scale = (float)scale}, sum_pixel, &s);
  return TH_STATUS_OK;
}

int32_t th_avg_pool_backward(float *dx, const float *dy, const int32_t *geometry, double scale) {
  const th_pool_shape s = th_read_pool_shape(geometry);
  make_gradients((image){.out = dx, .in = dy, .width = s.ow, .c = s.c, .scale = (float)scale}, sum_pixel, &s);
  return TH_STATUS_OK;
}
