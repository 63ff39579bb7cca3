/*
 * A matrix (rows, channels) walked in tiles that stay in the L1 cache, for work that differs by channel.
 *
 * Few channels would leave a vector mostly empty, so `group` rows are taken together as one wide row, whose lane j
 * belongs to channel j % channels. A tile is at most TILE_ROWS wide rows by LANES lanes, four vectors; a narrower one is
 * copied to a padded tile, so tasks know a single shape and have no loops for remainders.
 */
#ifndef TH_TILES_H
#define TH_TILES_H

#include "simd.h"
#include "strided.h"

#include <string.h>

enum { VECTORS = 4, LANES = VECTORS * VL, TILE_ROWS = 64, WIDEST_GROUP = 4096 };

#define FOR_VECTORS(i) TH_UNROLL for (int i = 0; i < VECTORS; i++)

typedef struct {
  ptrdiff_t rows, channels;
  ptrdiff_t group, width, wide_rows; /* wide_rows rows of width = group · channels lanes, and then one shorter */
  ptrdiff_t padded;                  /* width rounded up to LANES: the length of an array indexed by lane */
  int parts;                         /* shares of the wide rows, one for each thread */
} th_tiling;

TH_INLINE th_tiling th_make_tiling(ptrdiff_t rows, ptrdiff_t channels, double grain) {
  ptrdiff_t group = 1;
  while (group * channels % LANES != 0 && group * channels <= WIDEST_GROUP) group++;
  if (group * channels > WIDEST_GROUP) group = 1;
  const ptrdiff_t width = group * channels;
  return (th_tiling){
      .rows = rows,
      .channels = channels,
      .group = group,
      .width = width,
      .wide_rows = rows / group,
      .padded = th_ceil_div(width, LANES) * LANES,
      .parts = th_threads_for((double)rows * (double)channels, grain),
  };
}

/** The operands' element of row r and lane i of the tile is at pointer[r * stride + i]. */
typedef struct {
  const float *x, *dy; /* dy may be NULL */
  float *out;          /* may be NULL, or dy */
  ptrdiff_t rows, stride;
  ptrdiff_t lane;  /* of the first column, in the wide row */
  ptrdiff_t lanes; /* that hold elements; the rest are padding */
} th_tile;

typedef struct {
  const float *x, *dy;
  float *out;
} th_tile_operands;

typedef void th_tile_task(const th_tile *t, void *context);

static inline void th_padded_tile(const th_tile *t, th_tile_task *task, void *context) {
  _Alignas(64) float x[TILE_ROWS * LANES], dy[TILE_ROWS * LANES], out[TILE_ROWS * LANES];
  for (ptrdiff_t r = 0; r < t->rows; r++)
    for (ptrdiff_t i = 0; i < LANES; i++) {
      x[r * LANES + i] = i < t->lanes ? t->x[r * t->stride + i] : 0;
      dy[r * LANES + i] = t->dy && i < t->lanes ? t->dy[r * t->stride + i] : 0;
    }
  task(&(th_tile){x, dy, t->out ? out : NULL, t->rows, LANES, t->lane, t->lanes}, context);
  if (!t->out) return;
  for (ptrdiff_t r = 0; r < t->rows; r++)
    memcpy(t->out + r * t->stride, out + r * LANES, (size_t)t->lanes * sizeof *out);
}

/** The tiles of `rows` rows of `width` lanes that start at `offset` of the operands. */
static inline void th_visit_rows(const th_tile_operands *o, ptrdiff_t offset, ptrdiff_t rows, ptrdiff_t width,
                                 th_tile_task *task, void *context) {
  for (ptrdiff_t row = 0; row < rows; row += TILE_ROWS)
    for (ptrdiff_t lane = 0; lane < width; lane += LANES) {
      const ptrdiff_t at = offset + row * width + lane;
      const th_tile t = {
          o->x + at, o->dy ? o->dy + at : NULL,   o->out ? o->out + at : NULL, th_min(TILE_ROWS, rows - row), width,
          lane,      th_min(LANES, width - lane),
      };
      if (t.lanes == LANES) task(&t, context);
      else th_padded_tile(&t, task, context);
    }
}

/** The tiles of one part. */
static inline void th_visit_part(const th_tiling *p, const th_tile_operands *o, int part, th_tile_task *task,
                                 void *context) {
  const ptrdiff_t from = th_split(p->wide_rows, part, p->parts), to = th_split(p->wide_rows, part + 1, p->parts);
  th_visit_rows(o, from * p->width, to - from, p->width, task, context);
  if (part == p->parts - 1) {
    const ptrdiff_t done = p->wide_rows * p->width;
    th_visit_rows(o, done, 1, p->rows * p->channels - done, task, context);
  }
}

#endif
