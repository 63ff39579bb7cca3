/*
 * A correlation by Winograd's minimal filtering (winograd.h). Samples and taps are transformed for all channels; then the
 * products at each of a tile's places, summed over the channels, are a matrix product of its own: (tiles × c) · (c × f).
 *
 * Some tiles at a time: their transformed samples stay in the L2 cache while all panels of weights pass by, and the sums
 * of one panel until they are transformed back. The epilogue comes with that.
 */
#include "correlate_winograd.h"

enum {
  ONE_BLOCK = 96, /* tiles that are one block, whatever their size: each weight is used once */
  BLOCK_FLOATS = (VL < 16 ? 48 : 96) * 1024, /* else, of transformed samples: 192 or 384 KB of the L2 cache */
  CHANNELS = 128, /* at a time: a panel of transformed weights, 288 or 576 KB, is used while it is in L2 */
  KEPT_FLOATS = 4 * 1024 * 1024, /* of transformed weights; more are transformed for each block, of many tiles then */
};

/** Blocks of tiles, and the distances in the work space. */
typedef struct {
  th_winograd w;
  ptrdiff_t tiles;          /* of a block */
  ptrdiff_t channels, runs; /* summed at a time, and how often */
  int keeps;                /* the transformed weights, for the next block; else they are transformed again */
  /* From one tile's channels to the next one's, and from product to product: what is stored at one place of each of their
     matrices falls into different sets of the cache. */
  ptrdiff_t sample_row, sample_step;
  ptrdiff_t weight_step, sum_step; /* from product to product */
  ptrdiff_t width;                 /* of a row of sums */
} blocking;

static blocking plan(const th_correlation *r, ptrdiff_t count) {
  const th_winograd w = winograd_of(r);
  const ptrdiff_t rows = tile_rows(r->f), fit = BLOCK_FLOATS / (w.products * w.channels) / rows * rows;
  const ptrdiff_t tiles = th_ceil_div(winograd_tiles(r), count);
  blocking p = {.w = w, .tiles = tiles, .runs = th_ceil_div(w.channels, CHANNELS), .width = panel_width(r->f)};
  p.channels = th_ceil_div(w.channels, p.runs);
  p.weight_step = apart(p.channels * p.width);
  if (tiles > ONE_BLOCK) {
    p.keeps = w.products * p.weight_step * p.runs * th_ceil_div(r->f, NR) <= KEPT_FLOATS;
    p.tiles = p.keeps ? th_min(tiles, th_max(2 * rows, fit)) : ONE_BLOCK;
  }
  p.sample_row = rows_collide(w.channels, rows) ? apart(w.channels) : w.channels;
  p.sample_step = apart(p.tiles * p.sample_row);
  p.sum_step = apart(p.tiles * p.width);
  return p;
}

/** Floats of the work space: transformed samples, sums, packed taps and transformed weights. */
typedef struct {
  ptrdiff_t samples, sums, taps, weights;
} sizes;

static sizes sizes_of(const th_correlation *r, const blocking *p) {
  const ptrdiff_t taps = TAPS - p->w.first;
  return (sizes){.samples = p->w.products * p->sample_step,
                 .sums = p->w.products * p->sum_step,
                 .taps = taps * taps * p->channels * p->width,
                 .weights = p->w.products * p->weight_step * (p->keeps ? p->runs * th_ceil_div(r->f, NR) : 1)};
}

ptrdiff_t winograd_scratch(const th_correlation *r, ptrdiff_t count) {
  const blocking p = plan(r, count);
  const sizes s = sizes_of(r, &p);
  return s.samples + s.sums + s.taps + s.weights;
}

/** Transforms a panel of weights from their taps, each packed as a panel of `size` floats. */
TH_INLINE void transform_weights(const int first, ptrdiff_t step, float *out, const float *packed, ptrdiff_t size) {
  for (ptrdiff_t i = 0; i < size; i += VL) {
    vec columns[POINTS][TAPS];
    const float *tap = packed + i;
    for (int y = first; y < TAPS; y++)
      for (int x = first; x < TAPS; x++, tap += size) columns[y][x] = vec_load(tap);
    for (int x = first; x < TAPS; x++) {
      vec g[TAPS], u[POINTS];
      TH_UNROLL for (int y = first; y < TAPS; y++) g[y] = columns[y][x];
      transform_taps(first, u, g);
      TH_UNROLL for (int y = first; y < POINTS; y++) columns[y][x] = u[y];
    }
    float *at = out + i;
    for (int y = first; y < POINTS; y++) {
      vec u[POINTS];
      transform_taps(first, u, columns[y]);
      TH_UNROLL for (int x = first; x < POINTS; x++, at += step) vec_store(at, u[x]);
    }
  }
}

/** Transforms a tile's sums back, `cols` channels from j on, and finishes and stores them. */
TH_INLINE void finish_tile(const int first, const th_correlation *r, ptrdiff_t step, th_winograd_tile t, ptrdiff_t j,
                           ptrdiff_t cols, const float *sums) {
  const ptrdiff_t high = th_min(OUTPUTS, r->oh - t.y), wide = th_min(OUTPUTS, r->ow - t.x);
  float *const y = r->y + t.image * r->y_image + t.y * r->y_row + t.x * r->y_pixel + j;
  for (ptrdiff_t v = 0; v < cols; v += VL) {
    const ptrdiff_t last = th_min(VL, cols - v);
    const th_epilogue e = epilogue_at(&r->epilogue, j + v, 1);
    vec rows[OUTPUTS][POINTS];
    for (int x = first; x < POINTS; x++) {
      vec m[POINTS], u[OUTPUTS];
      const float *at = sums + (x - first) * step + v;
      TH_UNROLL for (int i = first; i < POINTS; i++, at += (POINTS - first) * step) m[i] = vec_load(at);
      transform_sums(first, u, m);
      TH_UNROLL for (int i = 0; i < OUTPUTS; i++) rows[i][x] = u[i];
    }
    const vec bias = r->bias ? vec_load_part(r->bias + j + v, last) : (vec){0};
    for (int i = 0; i < high; i++) {
      vec u[OUTPUTS];
      transform_sums(first, u, rows[i]);
      TH_UNROLL for (int x = 0; x < OUTPUTS; x++) {
        if (x >= wide) break;
        float *const at = y + i * r->y_row + x * r->y_pixel + v;
        vec sum[1][2] = {{u[x] + bias}};
        if (e.does) finish(1, 1, sum, &e, at, 0, last);
        if (last == VL) vec_store(at, sum[0][0]);
        else vec_store_part(at, sum[0][0], last);
      }
    }
  }
}

/** For each product, sums (tiles, width) = or, with `accumulate`, += samples (tiles, k) · a panel of weights (k, width). */
static void multiply(const blocking *p, ptrdiff_t tiles, ptrdiff_t k, ptrdiff_t width, const float *samples,
                     const float *panel, float *sums, int accumulate) {
  const th_walk walk = {.outer = {1, 0, 0},
                        .middle = {1, 0, 0},
                        .inner = {k, 1, width},
                        .a_row = p->sample_row,
                        .ldc = p->width,
                        .form = TH_ROWS};
  for (ptrdiff_t i = 0; i < p->w.products; i++, samples += p->sample_step, panel += p->weight_step, sums += p->sum_step)
    multiply_rows(&walk, samples, panel, sums, tiles, width, NULL, accumulate);
}

TH_INLINE void correlate_tiles(const int first, const blocking *p, const th_correlation *r, ptrdiff_t begin,
                               ptrdiff_t end, th_pack_tap *pack, const void *context, float *scratch) {
  const sizes s = sizes_of(r, p);
  float *const samples = scratch, *const sums = samples + s.samples, *const packed = sums + s.sums;
  const ptrdiff_t blocks = th_ceil_div(end - begin, p->tiles), taps = TAPS - first;
  for (ptrdiff_t block = 0; block < blocks; block++) {
    const ptrdiff_t from = begin + th_split(end - begin, block, blocks);
    const ptrdiff_t tiles = begin + th_split(end - begin, block + 1, blocks) - from;
    for (ptrdiff_t i = 0; i < tiles; i++)
      winograd_samples(r, winograd_tile(r, from + i), samples + i * p->sample_row, p->sample_step);
    float *weights = packed + s.taps;
    for (ptrdiff_t j = 0; j < r->f; j += NR) {
      const ptrdiff_t cols = th_min(NR, r->f - j), width = panel_width(cols);
      for (ptrdiff_t run = 0; run < p->runs; run++) {
        const ptrdiff_t c = th_split(p->w.channels, run, p->runs), k = th_split(p->w.channels, run + 1, p->runs) - c;
        if (block == 0 || !p->keeps) {
          for (ptrdiff_t t = 0; t < taps * taps; t++) pack(context, t, c, k, j, cols, packed + t * k * width);
          transform_weights(first, p->weight_step, weights, packed, k * width);
        }
        multiply(p, tiles, k, width, samples + c, weights, sums, run > 0);
        if (p->keeps) weights += p->w.products * p->weight_step;
      }
      for (ptrdiff_t i = 0; i < tiles; i++)
        finish_tile(first, r, p->sum_step, winograd_tile(r, from + i), j, cols, sums + i * p->width);
    }
  }
}

void correlate_winograd(const th_correlation *r, ptrdiff_t part, ptrdiff_t count, th_pack_tap *pack,
                        const void *context, float *scratch) {
  const blocking p = plan(r, count);
  const ptrdiff_t all = winograd_tiles(r), begin = th_split(all, part, count), end = th_split(all, part + 1, count);
  if (p.w.first) correlate_tiles(1, &p, r, begin, end, pack, context, scratch);
  else correlate_tiles(0, &p, r, begin, end, pack, context, scratch);
}
