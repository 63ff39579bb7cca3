/*
 * The weight gradient by Winograd's minimal filtering (winograd.h): in each tile, the gradients of 3 × 3 taps are sums of its
 * 6 × 6 samples times the 4 × 4 gradients of its outputs, so 36 products instead of 144. At each of these places the products,
 * summed over the tiles, are a matrix product: (c × tiles) · (tiles × f). The sums are transformed back once, in the end.
 */
#include "conv_weight_winograd.h"

enum {
  BLOCK_FLOATS = 128 * 1024, /* of transformed samples: 512 KB of the L2 cache, … */
  FEWEST_TILES = 64,         /* … but no fewer, as the sums are read and written for each block */
  SUMS = 4 * 1024 * 1024,    /* floats; for the columns whose sums are more, the samples are transformed again */
};

/** Blocks of tiles, and the distances in the work space. */
typedef struct {
  th_winograd w;
  ptrdiff_t tiles;                                   /* of a block, at most */
  ptrdiff_t columns;                                 /* at a time, at most */
  ptrdiff_t samples_step, gradients_step, sums_step; /* from product to product */
} blocking;

static blocking plan(const th_conv_shape *s) {
  const th_correlation input = correlation_of(s, NULL);
  const th_winograd w = winograd_of(&input);
  blocking p = {.w = w, .tiles = th_max(FEWEST_TILES, BLOCK_FLOATS / (w.products * w.channels))};
  p.samples_step = apart(p.tiles * w.channels);
  p.gradients_step = apart(p.tiles * panel_width(s->f));
  p.sums_step = apart(w.channels * panel_width(s->f));
  p.columns = NR * th_max(1, SUMS / (w.products * p.sums_step));
  return p;
}

ptrdiff_t winograd_weight_scratch(const th_conv_shape *s, ptrdiff_t columns) {
  const blocking p = plan(s);
  const ptrdiff_t panels = th_ceil_div(th_min(columns, p.columns), NR);
  return p.w.products * (p.samples_step + p.gradients_step + panels * p.sums_step);
}

/** Transforms the gradients of a tile's outputs, `cols` channels from j on; adds them to `bias`. */
TH_INLINE void transform_tile(const int first, const th_conv_shape *s, const float *dy, th_winograd_tile t, ptrdiff_t j,
                              ptrdiff_t cols, float *out, ptrdiff_t step, float *bias) {
  const ptrdiff_t high = th_min(OUTPUTS, s->oh - t.y), wide = th_min(OUTPUTS, s->ow - t.x);
  const float *const from = dy + ((t.image * s->oh + t.y) * s->ow + t.x) * s->f + j;
  for (ptrdiff_t v = 0; v < cols; v += VL) {
    const ptrdiff_t n = th_min(VL, cols - v);
    vec rows[POINTS][OUTPUTS], sum = vec_load(bias + v);
    for (ptrdiff_t x = 0; x < OUTPUTS; x++) {
      vec g[OUTPUTS] = {0}, u[POINTS];
      if (x < wide) TH_UNROLL for (int y = 0; y < OUTPUTS; y++) {
          if (y < high) g[y] = vec_load_part(from + (y * s->ow + x) * s->f + v, n);
          sum += g[y];
        }
      transform_gradients(first, u, g);
      TH_UNROLL for (int y = first; y < POINTS; y++) rows[y][x] = u[y];
    }
    vec_store(bias + v, sum);
    float *at = out + v;
    TH_UNROLL for (int y = first; y < POINTS; y++) {
      vec u[POINTS];
      transform_gradients(first, u, rows[y]);
      TH_UNROLL for (int x = first; x < POINTS; x++, at += step) vec_store(at, u[x]);
    }
  }
}

/** For each product, sums (c, width) = or, with `accumulate`, += samples (tiles, c) transposed · gradients (tiles, width). */
static void multiply(const blocking *p, ptrdiff_t tiles, ptrdiff_t width, const float *samples, const float *gradients,
                     float *sums, int accumulate) {
  const th_walk walk = {.outer = {1, 0, 0},
                        .middle = {1, 0, 0},
                        .inner = {tiles, p->w.channels, width},
                        .a_row = 1,
                        .ldc = width,
                        .form = TH_COLUMNS};
  for (ptrdiff_t i = 0; i < p->w.products; i++) {
    multiply_rows(&walk, samples, gradients, sums, p->w.channels, width, NULL, accumulate);
    samples += p->samples_step, gradients += p->gradients_step, sums += p->sums_step;
  }
}

/** Transforms the sums of a panel back to columns j on of dweight. */
TH_INLINE void transform_back(const int first, const th_conv_shape *s, ptrdiff_t step, const float *sums, ptrdiff_t j,
                              float *dweight) {
  const ptrdiff_t cols = th_min(NR, s->f - j), width = panel_width(cols), stride = s->stride;
  for (ptrdiff_t pixel = 0; pixel < stride * stride; pixel++)
    for (ptrdiff_t c = 0; c < s->c; c++, sums += width)
      for (ptrdiff_t v = 0; v < cols; v += VL) {
        vec rows[TAPS][POINTS];
        for (int x = first; x < POINTS; x++) {
          vec m[POINTS], u[TAPS];
          const float *at = sums + (x - first) * step + v;
          TH_UNROLL for (int y = first; y < POINTS; y++, at += (POINTS - first) * step) m[y] = vec_load(at);
          transform_gradient_sums(first, u, m);
          TH_UNROLL for (int y = first; y < TAPS; y++) rows[y][x] = u[y];
        }
        for (int y = first; y < TAPS; y++) {
          const ptrdiff_t ky = (y - first) * stride + pixel / stride;
          vec u[TAPS];
          transform_gradient_sums(first, u, rows[y]);
          for (int x = first; x < TAPS; x++) {
            const ptrdiff_t kx = (x - first) * stride + pixel % stride;
            float *const out = dweight + ((ky * s->kw + kx) * s->c + c) * s->f + j + v;
            if (ky < s->kh && kx < s->kw) vec_store_part(out, u[x], th_min(VL, cols - v));
          }
        }
      }
}

/** The sums of columns begin to end over tiles from on to `to`, in blocks. */
TH_INLINE void sum_columns(const int first, const th_conv_shape *s, const blocking *p, const th_correlation *input,
                           const float *dy, ptrdiff_t from, ptrdiff_t to, ptrdiff_t begin, ptrdiff_t end,
                           float *dweight, float *dbias, float *scratch) {
  float *const samples = scratch, *const gradients = samples + p->w.products * p->samples_step;
  float *const sums = gradients + p->w.products * p->gradients_step;
  const ptrdiff_t blocks = th_ceil_div(to - from, p->tiles);
  for (ptrdiff_t block = 0; block < blocks; block++) {
    const ptrdiff_t tile = from + th_split(to - from, block, blocks);
    const ptrdiff_t tiles = from + th_split(to - from, block + 1, blocks) - tile;
    for (ptrdiff_t i = 0; i < tiles; i++)
      winograd_samples(input, winograd_tile(input, tile + i), samples + i * p->w.channels, p->samples_step);
    for (ptrdiff_t j = begin; j < end; j += NR) {
      const ptrdiff_t cols = th_min(NR, end - j), width = panel_width(cols);
      float *const panel = sums + (j - begin) / NR * p->w.products * p->sums_step;
      float bias[NR] = {0};
      for (ptrdiff_t i = 0; i < tiles; i++)
        transform_tile(first, s, dy, winograd_tile(input, tile + i), j, cols, gradients + i * width, p->gradients_step,
                       bias);
      multiply(p, tiles, width, samples, gradients, panel, block > 0);
      if (block == blocks - 1) transform_back(first, s, p->sums_step, panel, j, dweight);
      for (ptrdiff_t i = 0; dbias && i < cols; i++) dbias[j + i] = block > 0 ? dbias[j + i] + bias[i] : bias[i];
    }
  }
}

void weight_gradient_winograd(const th_conv_shape *s, const float *x, const float *dy, ptrdiff_t from, ptrdiff_t to,
                              ptrdiff_t begin, ptrdiff_t end, float *dweight, float *dbias, float *scratch) {
  const th_correlation input = correlation_of(s, x);
  const blocking p = plan(s);
  for (ptrdiff_t j = begin; j < end; j += p.columns) {
    const ptrdiff_t last = th_min(j + p.columns, end);
    if (p.w.first) sum_columns(1, s, &p, &input, dy, from, to, j, last, dweight, dbias, scratch);
    else sum_columns(0, s, &p, &input, dy, from, to, j, last, dweight, dbias, scratch);
  }
}
