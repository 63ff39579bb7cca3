/*
 * How correlations of one input are computed. Output channels and pixels are cut into a grid, one part a thread, which packs the
 * weights of its own channels: that is cheaper than to read what another core has just written.
 *
 * Windows of two or three times the stride go by Winograd's minimal filtering (winograd.h) where that pays.
 */
#include "phases.h"

#include "correlate_winograd.h"
#include "pack.h"

enum { PHASES_AT_ONCE = 9 }; /* which share what is copied of the input */

/** Narrows a correlation to the output channels of one part; the first of them. */
static ptrdiff_t take_channels(const th_phases *w, th_correlation *r, ptrdiff_t part) {
  const ptrdiff_t panels = th_ceil_div(r->f, NR), begin = NR * th_split(panels, part, w->channel_parts);
  r->f = th_min(r->f, NR * th_split(panels, part + 1, w->channel_parts)) - begin;
  r->y += begin;
  if (r->weights) r->weights += begin;
  if (r->bias) r->bias += begin;
  r->epilogue = epilogue_at(&r->epilogue, begin, 1);
  return begin;
}

/** The weights of a part. */
typedef struct {
  const th_phases *w;
  const th_correlation *r;
  th_tap first;
  ptrdiff_t channel;
} part_weights;

/** Tap t of the correlation, rows c0 on, channels from j on. */
static void pack_part(const void *context, ptrdiff_t t, ptrdiff_t c0, ptrdiff_t count, ptrdiff_t j, ptrdiff_t cols,
                      float *panel) {
  const part_weights *p = context;
  const ptrdiff_t step = p->w->tap_step;
  const th_tap at = {p->first.ky + t / p->r->kw * step, p->first.kx + t % p->r->kw * step};
  p->w->pack(p->w, at, c0, count, p->channel + j, cols, panel);
}

/** All of them, as panels of kh · kw · c rows; the end of them. */
static float *pack_panels(const part_weights *p, float *panels) {
  const th_correlation *r = p->r;
  for (ptrdiff_t j = 0; j < r->f; j += NR) {
    const ptrdiff_t cols = th_min(NR, r->f - j), size = r->c * panel_width(cols);
    for (ptrdiff_t t = 0; t < r->kh * r->kw; t++, panels += size) pack_part(p, t, 0, r->c, j, cols, panels);
  }
  return panels;
}

/** The same for Winograd's filtering: tap t is stride × stride pixels, zeros beyond the window; c0 counts a sample's channels. */
static void pack_pixels(const void *context, ptrdiff_t t, ptrdiff_t c0, ptrdiff_t count, ptrdiff_t j, ptrdiff_t cols,
                        float *panel) {
  const th_correlation *r = ((const part_weights *)context)->r;
  const ptrdiff_t stride = r->stride, wide = th_ceil_div(r->kw, stride);
  for (ptrdiff_t i = c0, rows; i < c0 + count; i += rows) {
    const ptrdiff_t pixel = i / r->c, c = i % r->c;
    const ptrdiff_t ky = t / wide * stride + pixel / stride, kx = t % wide * stride + pixel % stride;
    rows = th_min(r->c - c, c0 + count - i);
    if (ky < r->kh && kx < r->kw) pack_part(context, ky * r->kw + kx, c, rows, j, cols, panel);
    else zero_floats(panel, rows * panel_width(cols));
    panel += rows * panel_width(cols);
  }
}

static th_phase make_phase(const th_phases *w, ptrdiff_t index) {
  th_phase p;
  p.r = w->phase(w, index, &p.first);
  p.winograd = winograd_pays(&p.r, p.r.f, w->counted);
  p.scratch = p.winograd ? 0 : correlation_scratch(&p.r);
  return p;
}

static th_phase phase_at(const th_phases *w, ptrdiff_t index) { return index == 0 ? w->first : make_phase(w, index); }

/** The parts of one thread, whose work space begins with `panels`. */
static void run_parts(const th_phases *w, th_member m, float *panels) {
  float *const scratch = panels + w->panels;
  th_correlation phases[PHASES_AT_ONCE];
  for (ptrdiff_t part = m.thread; part < w->channel_parts * w->pixel_parts; part += m.threads) {
    const ptrdiff_t pixel_part = part / w->channel_parts;
    ptrdiff_t count = 0;
    float *free_panels = panels;
    for (ptrdiff_t i = 0; i < w->phases; i++) {
      const th_phase p = phase_at(w, i);
      th_correlation *r = &phases[count];
      *r = p.r;
      const part_weights weights = {w, r, p.first, take_channels(w, r, part % w->channel_parts)};
      if (p.winograd) {
        correlate_winograd(r, pixel_part, w->pixel_parts, pack_pixels, &weights, scratch);
        continue;
      }
      if (!r->weights) {
        r->weights = free_panels, r->tap_columns = r->kw;
        free_panels = pack_panels(&weights, free_panels);
      }
      if (++count < PHASES_AT_ONCE) continue;
      correlate(phases, count, pixel_part, w->pixel_parts, scratch);
      count = 0, free_panels = panels;
    }
    correlate(phases, count, pixel_part, w->pixel_parts, scratch);
  }
}

/** Cuts the work for so many threads. Winograd's filtering is chosen if it pays on `counted` of them. */
static void plan(th_phases *w, int threads, int counted) {
  w->counted = counted;
  w->first = make_phase(w, 0);
  const th_correlation *r0 = &w->first.r;
  const ptrdiff_t pixels = r0->n * r0->oh * r0->ow;
  /* Copying a float takes the time of about 12 products. */
  const double copied = w->first.scratch ? 12.0 * (double)(r0->n * r0->h * r0->w) : 0;
  w->channel_parts = w->first.winograd ? choose_column_parts(winograd_tiles(r0), r0->f, threads, 6)
                                       : choose_column_parts(pixels, r0->f, threads,
                                                             copied / (double)th_max(1, pixels * r0->kh * r0->kw));
  w->pixel_parts = threads / w->channel_parts;
  ptrdiff_t bands = 0;
  for (ptrdiff_t part = 0; part < w->channel_parts; part++) {
    ptrdiff_t panels = 0;
    for (ptrdiff_t i = 0; i < w->phases; i++) {
      th_phase p = phase_at(w, i);
      take_channels(w, &p.r, part);
      if (!p.r.weights && !p.winograd) panels += p.r.kh * p.r.kw * p.r.c * th_ceil_div(p.r.f, NR) * NR;
      bands = th_max(bands, p.winograd ? winograd_scratch(&p.r, w->pixel_parts) : p.scratch);
    }
    w->panels = th_max(w->panels, th_ceil_div(panels, 16) * 16);
  }
  w->scratch_part = th_own_floats(w->panels + bands);
}

int32_t phases_share(th_phases *w, int counted, th_member m, const char *operation) {
  plan(w, m.threads, counted);
  float *const scratch = th_work_space(0, w->scratch_part, operation);
  if (!scratch) return TH_STATUS_OUT_OF_MEMORY;
  run_parts(w, m, scratch);
  return TH_STATUS_OK;
}

static void run_forked(int thread, int threads, void *context) {
  const th_phases *w = context;
  run_parts(w, (th_member){thread, threads}, w->scratch + thread * w->scratch_part);
}

int32_t phases_run(th_phases *w, const char *operation) {
  const int threads = conv_threads(&w->shape);
  plan(w, threads, threads);
  w->scratch = th_work_space(0, threads * w->scratch_part, operation);
  if (!w->scratch) return TH_STATUS_OUT_OF_MEMORY;
  th_parallel(threads, run_forked, w);
  return TH_STATUS_OK;
}
