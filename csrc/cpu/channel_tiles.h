/*
 * Normalisation by channel, tile by tile (tiles.h): the sums of each lane, and the elements, which are transformed by lane.
 *
 * Within a tile sums are floats, around the tile's own mean, so a large mean costs the variance nothing. Tiles are added up as
 * doubles.
 */
#ifndef TH_CHANNEL_TILES_H
#define TH_CHANNEL_TILES_H

#include "tiles.h"

/** By lane; arrays of the tiling's `padded` floats. */
typedef struct {
  float *mean, *scale, *bias; /* y = (x - mean) · scale + bias; before the mean is known, a number near it */
  float *constant, *slope;    /* dx = g · scale + (x - mean) · slope + constant */
  int relu;
} th_by_lane;

enum { TH_BY_LANE = 5 }; /* arrays of a th_by_lane */

TH_INLINE th_by_lane th_make_by_lane(float *memory, const th_tiling *t, int relu) {
  const ptrdiff_t n = t->padded;
  return (th_by_lane){memory, memory + n, memory + 2 * n, memory + 3 * n, memory + 4 * n, relu};
}

/** Repeats the first `channels` elements of an array by lane up to its end. */
static inline void th_spread(const th_tiling *t, float *by_lane) {
  for (ptrdiff_t lane = t->channels; lane < t->padded; lane++) by_lane[lane] = by_lane[lane - t->channels];
}

/* ------------------------------------------------------------------------------------------------- sums */

/** Σ (x - mean) and Σ (x - mean)², or Σ g and Σ g · (x - mean), of a part. */
typedef struct {
  const th_by_lane *by;
  double *first, *second; /* by lane */
} th_part_sums;

static inline void th_statistics_tile(const th_tile *t, void *context) {
  const th_part_sums *p = context;
  vec sum[VECTORS] = {{0}}, deviation[VECTORS] = {{0}}, square[VECTORS] = {{0}}, mean[VECTORS];
  for (ptrdiff_t r = 0; r < t->rows; r++) FOR_VECTORS(i) sum[i] += vec_load(t->x + r * t->stride + i * VL);
  FOR_VECTORS(i) mean[i] = sum[i] / (float)t->rows;
  for (ptrdiff_t r = 0; r < t->rows; r++) FOR_VECTORS(i) {
      const vec d = vec_load(t->x + r * t->stride + i * VL) - mean[i];
      deviation[i] += d;
      square[i] += d * d;
    }

  float m[LANES], d[LANES], q[LANES];
  FOR_VECTORS(i) vec_store(m + i * VL, mean[i]), vec_store(d + i * VL, deviation[i]), vec_store(q + i * VL, square[i]);
  double *first = p->first + t->lane, *second = p->second + t->lane;
  const float *shift = p->by->mean + t->lane;
  const double n = (double)t->rows;
  /* With d = x - m and s = m - shift: Σ (x - shift) = Σ d + n s, and Σ (x - shift)² = Σ d² + 2 s Σ d + n s². */
#pragma omp simd
  for (ptrdiff_t i = 0; i < t->lanes; i++) {
    const double si = (double)m[i] - (double)shift[i], di = (double)d[i];
    first[i] += di + n * si;
    second[i] += (double)q[i] + si * (2 * di + n * si);
  }
}

static inline void th_gradient_sums_tile(const th_tile *t, void *context) {
  const th_part_sums *p = context;
  const th_by_lane *by = p->by;
  vec sum[VECTORS] = {{0}}, product[VECTORS] = {{0}}, mean[VECTORS];
  FOR_VECTORS(i) mean[i] = vec_load(by->mean + t->lane + i * VL);
  for (ptrdiff_t r = 0; r < t->rows; r++) FOR_VECTORS(i) {
      const ptrdiff_t at = r * t->stride + i * VL, lane = t->lane + i * VL;
      const vec d = vec_load(t->x + at) - mean[i];
      vec g = vec_load(t->dy + at);
      if (by->relu) g = keep_where(d * vec_load(by->scale + lane) + vec_load(by->bias + lane) > 0, g);
      sum[i] += g;
      product[i] += g * d;
    }

  float s[LANES], q[LANES];
  FOR_VECTORS(i) vec_store(s + i * VL, sum[i]), vec_store(q + i * VL, product[i]);
  double *first = p->first + t->lane, *second = p->second + t->lane;
#pragma omp simd
  for (ptrdiff_t i = 0; i < t->lanes; i++) first[i] += (double)s[i], second[i] += (double)q[i];
}

/** The sums (2, padded) of one part. */
static inline void th_sum_part(const th_tiling *t, const th_tile_operands *operands, const th_by_lane *by, int part,
                               double *sums, th_tile_task *task) {
  memset(sums, 0, (size_t)(2 * t->padded) * sizeof *sums);
  th_visit_part(t, operands, part, task, &(th_part_sums){by, sums, sums + t->padded});
}

/** totals (2, channels): the sums (parts, 2, padded) over parts and lanes, in order. */
static inline void th_merge_sums(const th_tiling *t, double *totals, const double *sums) {
  double *first = totals, *second = totals + t->channels;
  memset(totals, 0, (size_t)(2 * t->channels) * sizeof *totals);
  for (int part = 0; part < t->parts; part++) {
    const double *a = sums + 2 * part * t->padded, *b = a + t->padded;
    for (ptrdiff_t start = 0; start < t->width; start += t->channels)
      for (ptrdiff_t c = 0; c < t->channels; c++) {
        first[c] += a[start + c];
        second[c] += b[start + c];
      }
  }
}

/* --------------------------------------------------------------------------------------------- elements */

static inline void th_normalise_tile(const th_tile *t, void *context) {
  const th_by_lane *by = context;
  vec mean[VECTORS], scale[VECTORS], bias[VECTORS];
  FOR_VECTORS(i) {
    mean[i] = vec_load(by->mean + t->lane + i * VL);
    scale[i] = vec_load(by->scale + t->lane + i * VL);
    bias[i] = vec_load(by->bias + t->lane + i * VL);
  }
  const int relu = by->relu;
  for (ptrdiff_t r = 0; r < t->rows; r++) FOR_VECTORS(i) {
      const ptrdiff_t at = r * t->stride + i * VL;
      const vec y = (vec_load(t->x + at) - mean[i]) * scale[i] + bias[i];
      vec_store(t->out + at, relu ? drop_where(y < 0, y) : y);
    }
}

/** Column by column, so that the five numbers of a lane stay in registers; the tile itself is in the L1 cache. */
static inline void th_gradient_tile(const th_tile *t, void *context) {
  const th_by_lane *by = context;
  const int relu = by->relu;
  for (ptrdiff_t i = 0; i < LANES; i += VL) {
    const ptrdiff_t lane = t->lane + i;
    const vec mean = vec_load(by->mean + lane), scale = vec_load(by->scale + lane), bias = vec_load(by->bias + lane);
    const vec slope = vec_load(by->slope + lane), constant = vec_load(by->constant + lane);
    for (ptrdiff_t r = 0; r < t->rows; r++) {
      const ptrdiff_t at = r * t->stride + i;
      const vec d = vec_load(t->x + at) - mean;
      vec g = vec_load(t->dy + at);
      if (relu) g = keep_where(d * scale + bias > 0, g);
      vec_store(t->out + at, g * scale + (d * slope + constant));
    }
  }
}

#endif
