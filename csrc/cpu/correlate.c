/*
 * A correlation as tiles of the micro-kernel. The rows of a tile are
 * - the same pixel of several images, for small maps: taps outside the image are left out, nothing is copied; or
 * - neighbouring pixels of an output row: a band of the image with a border of zeros at its sides is copied first.
 * Either way K runs over (ky, kx, channel) right in the image. It is cut into boxes, so that a panel of weights stays in
 * the L1 cache while all tiles that need it are computed.
 */
#include "correlate.h"

enum {
  KC = 384,               /* a box of taps: at most this many rows of a panel */
  BAND_FLOATS = 32 * 1024, /* a band of rows: 128 KB, a part of the L2 cache */
  SMALL_MAP = 256,        /* pixels of an image up to which a tile takes one pixel of several images */
  PAGE = 1024,            /* floats at this distance share a set of the L1 cache */
};

/** A box of taps and channels. */
typedef struct {
  ptrdiff_t ky0, ky1, kx0, kx1, c0, c1;
} box;

/** The first box, which has the size of all but the last ones. A correlation without taps has one empty box. */
static box first_box(const th_correlation *r) {
  const ptrdiff_t row = r->kw * r->c;
  box t = {.ky1 = 1, .kx1 = r->kw, .c1 = r->c};
  if (row > 0 && row <= KC)
    t.ky1 = KC / row;
  else if (r->c <= KC)
    t.kx1 = KC / th_max(1, r->c);
  else
    t.kx1 = 1, t.c1 = th_ceil_div(r->c, th_ceil_div(r->c, KC));
  t.ky1 = th_min(t.ky1, r->kh), t.kx1 = th_min(t.kx1, r->kw);
  return t;
}

/** Moves one range of a box on by its size; whether there was more, else it starts again. */
static int next_range(ptrdiff_t *begin, ptrdiff_t *end, ptrdiff_t size, ptrdiff_t limit) {
  const int more = *end < limit;
  *begin = more ? *end : 0;
  *end = th_min(*begin + size, limit);
  return more;
}

static int next_box(const th_correlation *r, const box *first, box *t) {
  return next_range(&t->c0, &t->c1, first->c1, r->c) || next_range(&t->kx0, &t->kx1, first->kx1, r->kw) ||
         next_range(&t->ky0, &t->ky1, first->ky1, r->kh);
}

/** What a box does to an output pixel: nothing, the first sum, or one more. */
typedef enum { TOUCH_NONE, TOUCH_FIRST, TOUCH_MORE } touch;

/** Where the tile of an output pixel starts in x and in a panel, and how it walks through them. */
typedef struct {
  touch touch;
  ptrdiff_t x, panel;
} place;

static place place_of(const th_correlation *r, const box *t, ptrdiff_t oy, ptrdiff_t ox, ptrdiff_t width, th_walk *walk) {
  const ptrdiff_t iy = oy * r->stride - r->top, ix = ox * r->stride - r->left;
  const ptrdiff_t first_ky = th_max(0, -iy), first_kx = th_max(0, -ix); /* of the taps inside the image */
  const ptrdiff_t ky0 = th_max(t->ky0, first_ky), ky1 = th_min(t->ky1, r->h - iy);
  const ptrdiff_t kx0 = th_max(t->kx0, first_kx), kx1 = th_min(t->kx1, r->w - ix);
  const int empty = ky0 >= ky1 || kx0 >= kx1;
  const int all_empty = first_ky >= th_min(r->kh, r->h - iy) || first_kx >= th_min(r->kw, r->w - ix);
  const int is_first_box = t->ky0 == 0 && t->kx0 == 0 && t->c0 == 0;
  const int first_touch = ky0 == first_ky && kx0 == first_kx && t->c0 == 0;

  walk->outer = (th_loop){empty ? 0 : ky1 - ky0, r->w * r->c, r->kw * r->c * width};
  if (t->c1 - t->c0 == r->c) { /* the channels of neighbouring pixels follow one another */
    walk->middle = (th_loop){1, 0, 0};
    walk->inner = (th_loop){(kx1 - kx0) * r->c, 1, width};
  } else {
    walk->middle = (th_loop){kx1 - kx0, r->c, r->c * width};
    walk->inner = (th_loop){t->c1 - t->c0, 1, width};
  }
  if (empty) return (place){.touch = all_empty && is_first_box ? TOUCH_FIRST : TOUCH_NONE};
  return (place){
      .touch = first_touch ? TOUCH_FIRST : TOUCH_MORE,
      .x = ((iy + ky0) * r->w + ix + kx0) * r->c + t->c0,
      .panel = ((ky0 * r->kw + kx0) * r->c + t->c0) * width,
  };
}

static const float *panel_of(const th_correlation *r, ptrdiff_t j) { return r->panels + j * r->kh * r->kw * r->c; }

/** Units of work u0 to u1: a unit is one output pixel of one group of images. */
static void across_images(const th_correlation *r, ptrdiff_t u0, ptrdiff_t u1) {
  const ptrdiff_t pixels = r->oh * r->ow, groups = th_ceil_div(r->n, tile_rows(r->f)), image = r->h * r->w * r->c;
  th_walk walk = {.form = TH_ROWS, .a_row = image, .ldc = r->y_image};
  const box first = first_box(r);
  box t = first;
  do {
    for (ptrdiff_t j = 0; j < r->f; j += NR) {
      const ptrdiff_t cols = th_min(NR, r->f - j), width = panel_width(cols);
      ptrdiff_t group = u0 / pixels, oy = u0 % pixels / r->ow, ox = u0 % r->ow;
      for (ptrdiff_t u = u0; u < u1; u++) {
        const place p = place_of(r, &t, oy, ox, width, &walk);
        const ptrdiff_t i = share(r->n, group, groups), rows = share(r->n, group + 1, groups) - i;
        if (p.touch != TOUCH_NONE)
          multiply_tile(&walk, r->x + i * image + p.x, panel_of(r, j) + p.panel,
                        r->y + i * r->y_image + oy * r->y_row + ox * r->y_pixel + j, rows, cols,
                        r->bias && p.touch == TOUCH_FIRST ? r->bias + j : NULL, p.touch == TOUCH_MORE);
        if (++ox == r->ow) {
          ox = 0;
          if (++oy == r->oh) oy = 0, group++;
        }
      }
    }
  } while (next_box(r, &first, &t));
}

/** One image whose columns need no border, in tiles of neighbouring pixels of a row. */
static void along_rows(const th_correlation *r) {
  const ptrdiff_t tiles = th_ceil_div(r->ow, tile_rows(r->f)), pixel = r->stride * r->c;
  th_walk walk = {.form = TH_ROWS, .a_row = pixel, .ldc = r->y_pixel};
  const box first = first_box(r);
  box t = first;
  do {
    for (ptrdiff_t j = 0; j < r->f; j += NR) {
      const ptrdiff_t cols = th_min(NR, r->f - j), width = panel_width(cols);
      for (ptrdiff_t oy = 0; oy < r->oh; oy++) {
        const place p = place_of(r, &t, oy, 0, width, &walk);
        for (ptrdiff_t k = 0; k < tiles && p.touch != TOUCH_NONE; k++) {
          const ptrdiff_t ox = share(r->ow, k, tiles), rows = share(r->ow, k + 1, tiles) - ox;
          multiply_tile(&walk, r->x + p.x + ox * pixel, panel_of(r, j) + p.panel,
                        r->y + oy * r->y_row + ox * r->y_pixel + j, rows, cols,
                        r->bias && p.touch == TOUCH_FIRST ? r->bias + j : NULL, p.touch == TOUCH_MORE);
        }
      }
    }
  } while (next_box(r, &first, &t));
}

/** Columns that the output reads, from -left on. */
static ptrdiff_t band_width(const th_correlation *r) { return (r->ow - 1) * r->stride + r->kw; }

static int needs_border(const th_correlation *r) {
  return r->kh * r->kw > 0 && (r->left > 0 || band_width(r) - r->left > r->w);
}

static ptrdiff_t band_rows(const th_correlation *r) {
  const ptrdiff_t input_rows = BAND_FLOATS / th_max(1, band_width(r) * r->c);
  return th_min(r->oh, th_max(1, (input_rows - r->kh) / r->stride + 1));
}

/** `rows` output rows of one image as a correlation of their own, whose columns need no border. */
static th_correlation band_of(const th_correlation *r, ptrdiff_t image, ptrdiff_t oy, ptrdiff_t rows, float *scratch) {
  const ptrdiff_t begin = oy * r->stride - r->top, end = begin + (rows - 1) * r->stride + r->kh;
  const ptrdiff_t iy0 = th_min(r->h, th_max(0, begin)), iy1 = th_max(iy0, th_min(r->h, end));
  th_correlation band = *r;
  band.n = 1, band.h = iy1 - iy0, band.oh = rows;
  band.top = iy0 - begin;
  band.x += (image * r->h + iy0) * r->w * r->c;
  band.y += image * r->y_image + oy * r->y_row;
  if (!needs_border(r)) return band;

  band.w = band_width(r), band.left = 0;
  const ptrdiff_t skip = th_min(r->w, th_max(0, -r->left)), before = th_min(band.w, th_max(0, r->left));
  const ptrdiff_t inside = th_max(0, th_min(band.w - before, r->w - skip)), after = band.w - before - inside;
  float *out = scratch;
  for (const float *in = band.x; in < band.x + band.h * r->w * r->c; in += r->w * r->c, out += band.w * r->c) {
    zero_floats(out, before * r->c);
    copy_floats(out + before * r->c, in + skip * r->c, inside * r->c);
    zero_floats(out + (before + inside) * r->c, after * r->c);
  }
  band.x = scratch;
  return band;
}

/** Whether tiles should take one pixel of several images rather than several pixels of a row. */
static int is_across_images(const th_correlation *r) {
  const ptrdiff_t rows = tile_rows(r->f), image = r->h * r->w * r->c, off = image % PAGE;
  const int evicts = rows > 8 && image >= PAGE && th_min(off, PAGE - off) < 16; /* images a page apart fight for the cache */
  return th_min(r->n, rows) > th_min(r->ow, rows) || (r->n >= rows && r->h * r->w <= SMALL_MAP && !evicts);
}

ptrdiff_t correlation_scratch(const th_correlation *r) {
  if (is_across_images(r) || !needs_border(r)) return 0;
  const ptrdiff_t input_rows = th_min(r->h, (band_rows(r) - 1) * r->stride + r->kh);
  return th_ceil_div(input_rows * band_width(r) * r->c, 16) * 16;
}

void correlate(const th_correlation *r, int thread, int threads, float *scratch) {
  if (r->n == 0 || r->oh == 0 || r->ow == 0 || r->f == 0) return;
  if (is_across_images(r)) {
    const ptrdiff_t units = th_ceil_div(r->n, tile_rows(r->f)) * r->oh * r->ow;
    across_images(r, share(units, thread, threads), share(units, thread + 1, threads));
    return;
  }
  const ptrdiff_t last = share(r->n * r->oh, thread + 1, threads), limit = band_rows(r);
  for (ptrdiff_t row = share(r->n * r->oh, thread, threads), rows; row < last; row += rows) {
    const ptrdiff_t oy = row % r->oh;
    rows = th_min(limit, th_min(r->oh - oy, last - row));
    const th_correlation band = band_of(r, row / r->oh, oy, rows, scratch);
    along_rows(&band);
  }
}

/* Taps of one axis that meet the input: output 0 reads from -before on, the last output from last - before on. */
static void trim(ptrdiff_t *taps, ptrdiff_t *before, ptrdiff_t *dropped, ptrdiff_t last, ptrdiff_t size) {
  ptrdiff_t first = 0, end = *taps;
  while (first < end && last - *before + first < 0) first++;
  while (end > first && end - 1 - *before >= size) end--;
  *taps = end - first;
  *before -= first;
  *dropped = first;
}

void correlation_trim(th_correlation *r, ptrdiff_t *dropped_y, ptrdiff_t *dropped_x) {
  trim(&r->kh, &r->top, dropped_y, (r->oh - 1) * r->stride, r->h);
  trim(&r->kw, &r->left, dropped_x, (r->ow - 1) * r->stride, r->w);
}
