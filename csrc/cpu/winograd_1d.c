/* When Winograd's filtering along columns pays, and the transform of its samples. */
#include "winograd_1d.h"

enum { MOST_WEIGHTS = 64 * 1024 }; /* floats of a point; each thread has them all, transformed for 6 points: 1.5 MB */

int winograd_1d_pays(const th_conv_shape *s, int threads) {
  const ptrdiff_t taps = th_ceil_div(s->kh, s->stride), row = s->kw * s->c;
  if (taps < 2 || taps > TAPS || s->c % VL == 0 || s->n * s->oh * s->ow == 0) return 0;
  if (s->stride * row * s->f > MOST_WEIGHTS) return 0;
  const th_winograd_1d w = winograd_1d_of(s);
  const double pairs = (double)(s->n * visible_pairs(s->oh, s->stride, s->kh, s->h, s->padding));
  /* In multiplications of two vectors: to transform and sum up a vector of outputs at one point, one of samples, and, on each
     thread, one of the weights. */
  const double sums = VL < 8 ? 40 : 16, samples = 1, weights = 6;
  const double outputs = (double)s->ow * (double)th_ceil_div(s->f, VL), rows = (double)(w.tiles * w.points);
  const double k = (double)(s->stride * row), products = rows * k * outputs;
  const double transforms = rows * (sums * outputs + samples * (double)w.size / VL) +
                            threads * weights * (double)w.points * k * (double)th_ceil_div(s->f, VL);
  return products + transforms < pairs * (double)row * outputs;
}

/** Transforms rows of pixels, `stride` of them after one another. */
TH_INLINE void transform_rows(const int first, const th_conv_shape *s, const th_winograd_1d *w, const float *image,
                              ptrdiff_t y, float *out, ptrdiff_t step) {
  static const float zeros[VL] = {0};
  const ptrdiff_t row = s->w * s->c;
  for (ptrdiff_t k = 0; k < s->stride; k++, y++, out += w->width * s->c) {
    const float *in[POINTS]; /* a row outside the image is zeros, wherever it is read */
    ptrdiff_t inside[POINTS];
    for (int i = first; i < POINTS; i++) {
      const ptrdiff_t at = y + (i - first) * s->stride;
      inside[i] = -(at >= 0 && at < s->h);
      in[i] = inside[i] ? image + at * row : zeros;
    }
    for (ptrdiff_t v = 0; v < row; v += VL) { /* the last vector may end with zeros: there is room for it */
      const ptrdiff_t n = th_min(VL, row - v);
      vec d[POINTS], u[POINTS];
      if (n == VL) TH_UNROLL for (int i = first; i < POINTS; i++) d[i] = vec_load(in[i] + (v & inside[i]));
      else TH_UNROLL for (int i = first; i < POINTS; i++) d[i] = vec_load_part(in[i] + (v & inside[i]), n);
      transform_samples(first, u, d);
      TH_UNROLL for (int i = first; i < POINTS; i++) vec_store(out + (i - first) * step + v, u[i]);
      /* The next tile's rows: four rows at a time with gaps between them are not foreseen. 2 to 7%. */
      TH_UNROLL for (int i = POINTS - OUTPUTS; i < POINTS; i++)
          __builtin_prefetch(in[i] + OUTPUTS * s->stride * row + v);
    }
  }
}

void winograd_1d_borders(const th_conv_shape *s, const th_winograd_1d *w, ptrdiff_t count, float *out, ptrdiff_t step) {
  const ptrdiff_t row = w->width * s->c, before = w->before * s->c, inside = th_ceil_div(s->w * s->c, VL) * VL;
  for (ptrdiff_t i = 0; i < w->points; i++, out += step)
    for (ptrdiff_t k = 0; k < count * s->stride; k++) {
      zero_floats(out + k * row, before);
      zero_floats(out + k * row + before + inside, row - before - inside);
    }
}

void winograd_1d_samples(const th_conv_shape *s, const th_winograd_1d *w, const float *x, ptrdiff_t from,
                         ptrdiff_t count, float *out, ptrdiff_t step) {
  out += w->before * s->c;
  for (ptrdiff_t t = from; t < from + count; t++, out += w->size) {
    const th_output_rows r = winograd_1d_rows(s, t);
    const float *const image = x + r.image * s->h * s->w * s->c;
    const ptrdiff_t y = r.y * s->stride - s->padding;
    if (w->first) transform_rows(1, s, w, image, y, out, step);
    else transform_rows(0, s, w, image, y, out, step);
  }
}
