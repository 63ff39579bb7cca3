/*
 * A correlation by Winograd's minimal filtering (winograd.h). Samples and taps are transformed for all channels; then the
 * products at each of a tile's 36 places, summed over the channels, are a matrix product of its own: (tiles × c) · (c × f).
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
  ptrdiff_t tiles;          /* of a block */
  ptrdiff_t channels, runs; /* summed at a time, and how often */
  int keeps;                /* the transformed weights, for the next block; else they are transformed again */
  /* From one tile's channels to the next one's, and from product to product: what is stored at one place of each of the 36
     matrices falls into different sets of the cache. */
  ptrdiff_t sample_row, sample_step;
  ptrdiff_t weight_step, sum_step; /* from product to product */
  ptrdiff_t width;                 /* of a row of sums */
} blocking;

static blocking plan(const th_correlation *r, ptrdiff_t count) {
  const ptrdiff_t rows = tile_rows(r->f), fit = BLOCK_FLOATS / (PRODUCTS * r->c) / rows * rows;
  const ptrdiff_t tiles = th_ceil_div(winograd_tiles(r->n, r->oh, r->ow), count);
  blocking p = {.tiles = tiles, .runs = th_ceil_div(r->c, CHANNELS), .width = panel_width(r->f)};
  p.channels = th_ceil_div(r->c, p.runs);
  p.weight_step = apart(p.channels * p.width);
  if (tiles > ONE_BLOCK) {
    p.keeps = PRODUCTS * p.weight_step * p.runs * th_ceil_div(r->f, NR) <= KEPT_FLOATS;
    p.tiles = p.keeps ? th_min(tiles, th_max(2 * rows, fit)) : ONE_BLOCK;
  }
  p.sample_row = rows_collide(r->c, rows) ? apart(r->c) : r->c;
  p.sample_step = apart(p.tiles * p.sample_row);
  p.sum_step = apart(p.tiles * p.width);
  return p;
}

/** Floats of the work space: transformed samples, sums, packed taps and transformed weights. */
typedef struct {
  ptrdiff_t samples, sums, taps, weights;
} sizes;

static sizes sizes_of(const th_correlation *r, const blocking *p) {
  return (sizes){.samples = PRODUCTS * p->sample_step,
                 .sums = PRODUCTS * p->sum_step,
                 .taps = TAPS * TAPS * p->channels * p->width,
                 .weights = PRODUCTS * p->weight_step * (p->keeps ? p->runs * th_ceil_div(r->f, NR) : 1)};
}

ptrdiff_t winograd_scratch(const th_correlation *r, ptrdiff_t count) {
  const blocking p = plan(r, count);
  const sizes s = sizes_of(r, &p);
  return s.samples + s.sums + s.taps + s.weights;
}

/** Transforms a panel of weights from their taps, each packed as a panel of `size` floats. */
static void transform_weights(const blocking *p, float *out, const float *packed, ptrdiff_t size) {
  for (ptrdiff_t i = 0; i < size; i += VL) {
    vec columns[POINTS][TAPS];
    for (int x = 0; x < TAPS; x++) {
      vec g[TAPS], u[POINTS];
      TH_UNROLL for (int y = 0; y < TAPS; y++) g[y] = vec_load(packed + (y * TAPS + x) * size + i);
      transform_taps(u, g);
      TH_UNROLL for (int y = 0; y < POINTS; y++) columns[y][x] = u[y];
    }
    for (int y = 0; y < POINTS; y++) {
      vec u[POINTS];
      transform_taps(u, columns[y]);
      TH_UNROLL for (int x = 0; x < POINTS; x++) vec_store(out + (y * POINTS + x) * p->weight_step + i, u[x]);
    }
  }
}

/** Transforms a tile's sums back, `cols` channels from j on, and finishes and stores them. */
static void finish_tile(const th_correlation *r, const blocking *p, th_winograd_tile t, ptrdiff_t j, ptrdiff_t cols,
                        const float *sums) {
  const ptrdiff_t high = th_min(OUTPUTS, r->oh - t.y), wide = th_min(OUTPUTS, r->ow - t.x);
  float *const y = r->y + t.image * r->y_image + t.y * r->y_row + t.x * r->y_pixel + j;
  for (ptrdiff_t v = 0; v < cols; v += VL) {
    const ptrdiff_t last = th_min(VL, cols - v);
    const th_epilogue e = epilogue_at(&r->epilogue, j + v, 1);
    vec rows[OUTPUTS][POINTS];
    for (int x = 0; x < POINTS; x++) {
      vec m[POINTS], u[OUTPUTS];
      TH_UNROLL for (int i = 0; i < POINTS; i++) m[i] = vec_load(sums + (i * POINTS + x) * p->sum_step + v);
      transform_sums(u, m);
      TH_UNROLL for (int i = 0; i < OUTPUTS; i++) rows[i][x] = u[i];
    }
    const vec bias = r->bias ? vec_load_part(r->bias + j + v, last) : (vec){0};
    for (int i = 0; i < high; i++) {
      vec u[OUTPUTS];
      transform_sums(u, rows[i]);
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

/** sums (36, tiles, width) = or, with `accumulate`, += samples (36, tiles, k) · a panel of weights (36, k, width). */
static void multiply(const blocking *p, ptrdiff_t tiles, ptrdiff_t k, ptrdiff_t width, const float *samples,
                     const float *panel, float *sums, int accumulate) {
  const th_walk walk = {.outer = {1, 0, 0},
                        .middle = {1, 0, 0},
                        .inner = {k, 1, width},
                        .a_row = p->sample_row,
                        .ldc = p->width,
                        .form = TH_ROWS};
  for (int i = 0; i < PRODUCTS; i++, samples += p->sample_step, panel += p->weight_step, sums += p->sum_step)
    multiply_rows(&walk, samples, panel, sums, tiles, width, NULL, accumulate);
}

void correlate_winograd(const th_correlation *r, ptrdiff_t part, ptrdiff_t count, th_pack_tap *pack,
                        const void *context, float *scratch) {
  const blocking p = plan(r, count);
  const sizes s = sizes_of(r, &p);
  float *const samples = scratch, *const sums = samples + s.samples, *const taps = sums + s.sums;
  const ptrdiff_t all = winograd_tiles(r->n, r->oh, r->ow);
  const ptrdiff_t begin = share(all, part, count), end = share(all, part + 1, count);
  const ptrdiff_t blocks = th_ceil_div(end - begin, p.tiles);
  for (ptrdiff_t block = 0; block < blocks; block++) {
    const ptrdiff_t first = begin + share(end - begin, block, blocks);
    const ptrdiff_t tiles = begin + share(end - begin, block + 1, blocks) - first;
    for (ptrdiff_t i = 0; i < tiles; i++)
      winograd_samples(r, winograd_tile(r, first + i), samples + i * p.sample_row, p.sample_step);
    float *weights = taps + s.taps;
    for (ptrdiff_t j = 0; j < r->f; j += NR) {
      const ptrdiff_t cols = th_min(NR, r->f - j), width = panel_width(cols);
      for (ptrdiff_t run = 0; run < p.runs; run++) {
        const ptrdiff_t c = share(r->c, run, p.runs), k = share(r->c, run + 1, p.runs) - c;
        if (block == 0 || !p.keeps) {
          for (ptrdiff_t t = 0; t < TAPS * TAPS; t++) pack(context, t, c, k, j, cols, taps + t * k * width);
          transform_weights(&p, weights, taps, k * width);
        }
        multiply(&p, tiles, k, width, samples + c, weights, sums, run > 0);
        if (p.keeps) weights += PRODUCTS * p.weight_step;
      }
      for (ptrdiff_t i = 0; i < tiles; i++)
        finish_tile(r, &p, winograd_tile(r, first + i), j, cols, sums + i * p.width);
    }
  }
}
