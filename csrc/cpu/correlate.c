/*
 * A correlation as tiles of the micro-kernel. The rows of a tile are
 * - the same pixel of several images, for small maps: taps outside the image are left out; or
 * - neighbouring pixels of an output row: the taps at the image's sides meet a border of zeros.
 *
 * K runs over (ky, kx, channel) right in the images. They are read where they lie unless they need that border or their
 * rows collide in the cache; then a part that fits L2 is copied first. K is cut into boxes of taps and channels, so that
 * a panel of weights stays in L1 (with AVX-512 in L2) while all tiles that need it are computed.
 */
#include "correlate.h"

#include "few.h"

enum {
  PART_FLOATS = 32 * 1024, /* a copied part: 128 KB of the L2 cache */
  SMALL_MAP = 256,         /* pixels of an image up to which a tile takes one pixel of several images */
  PLACES = 64,             /* pixels whose places are found once for all groups of images */
};

/** A box of taps and channels. */
typedef struct {
  ptrdiff_t ky0, ky1, kx0, kx1, c0, c1;
} box;

/** The first box, which has the size of all but the last ones. A correlation without taps has one empty box. */
static box first_box(const th_correlation *r) {
  const ptrdiff_t row = r->kw * r->c;
  box t = {.ky1 = 1, .kx1 = r->kw, .c1 = r->c};
  if (row > 0 && row <= KC) t.ky1 = KC / row;
  else if (r->c <= KC) t.kx1 = KC / th_max(1, r->c);
  else t.kx1 = 1, t.c1 = th_ceil_div(r->c, th_ceil_div(r->c, KC));
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

/** How the tile of an output pixel is computed in a box: its first floats in x and in a panel, and the loops from there. */
typedef struct {
  touch touch;
  ptrdiff_t x, panel;
  th_walk walk;
} place;

/** Floats from a row of the panel of columns from j on to the next. */
TH_INLINE ptrdiff_t row_width(const th_correlation *r, ptrdiff_t j) {
  return r->row ? r->row : panel_width(th_min(NR, r->f - j));
}

/** The place of an output pixel in a box, for the columns from j on; what `walk` says of rows is the same everywhere. */
static place place_of(const th_correlation *r, const box *t, ptrdiff_t oy, ptrdiff_t ox, ptrdiff_t j,
                      const th_walk *walk) {
  const ptrdiff_t width = row_width(r, j), iy = oy * r->stride - r->top, ix = ox * r->stride - r->left;
  const ptrdiff_t first_ky = th_max(0, -iy), first_kx = th_max(0, -ix); /* of the taps inside the image */
  const ptrdiff_t end_ky = th_min(r->kh, r->h - iy), end_kx = th_min(r->kw, r->w - ix);
  const ptrdiff_t ky0 = th_max(t->ky0, first_ky), ky1 = th_min(t->ky1, end_ky);
  const ptrdiff_t kx0 = th_max(t->kx0, first_kx), kx1 = th_min(t->kx1, end_kx);
  const int empty = ky0 >= ky1 || kx0 >= kx1, all_empty = first_ky >= end_ky || first_kx >= end_kx;
  const int is_first_box = t->ky0 == 0 && t->kx0 == 0 && t->c0 == 0;
  const int is_last = empty || (ky1 == end_ky && kx1 == end_kx && t->c1 == r->c); /* no later box touches the pixel */

  place p = {.walk = *walk};
  p.walk.outer = (th_loop){empty ? 0 : ky1 - ky0, r->x_row, r->tap_columns * r->c * width};
  if (t->c1 - t->c0 == r->x_pixel) { /* the channels of neighbouring pixels follow one another */
    p.walk.middle = (th_loop){1, 0, 0};
    p.walk.inner = (th_loop){(kx1 - kx0) * r->c, 1, width};
  } else {
    p.walk.middle = (th_loop){kx1 - kx0, r->x_pixel, r->c * width};
    p.walk.inner = (th_loop){t->c1 - t->c0, 1, width};
  }
  p.walk.epilogue = epilogue_at(&r->epilogue, j, is_last);
  if (empty) {
    p.touch = all_empty && is_first_box ? TOUCH_FIRST : TOUCH_NONE;
    return p;
  }
  p.touch = ky0 == first_ky && kx0 == first_kx && t->c0 == 0 ? TOUCH_FIRST : TOUCH_MORE;
  p.x = (iy + ky0) * r->x_row + (ix + kx0) * r->x_pixel + t->c0;
  p.panel = ((ky0 * r->tap_columns + kx0) * r->c + t->c0) * width;
  return p;
}

/** One tile of at most NR columns, or with `wide` of a single row and all columns, unless the box does nothing there. */
TH_INLINE void tile_at(const th_correlation *r, const place *p, ptrdiff_t x, ptrdiff_t y, ptrdiff_t j, ptrdiff_t rows,
                       int wide) {
  if (p->touch == TOUCH_NONE) return;
  const float *panel = r->weights + (r->row ? j : j * r->kh * r->kw * r->c) + p->panel;
  const float *bias = r->bias && p->touch == TOUCH_FIRST ? r->bias + j : NULL;
  const ptrdiff_t cols = th_min(NR, r->f - j);
  const int accumulate = p->touch == TOUCH_MORE;
  if (wide) multiply_wide(&p->walk, r->x + p->x + x, panel, r->y + y, rows, r->f, bias, accumulate);
  else multiply_tile(&p->walk, r->x + p->x + x, panel, r->y + y + j, rows, cols, bias, accumulate);
}

/** Output pixels begin to end, at most PLACES, of all images: each tile is one pixel of a group of images. */
static void across_images(const th_correlation *r, ptrdiff_t begin, ptrdiff_t end) {
  const ptrdiff_t groups = th_ceil_div(r->n, tile_rows(r->f));
  const th_walk walk = {.form = TH_ROWS, .a_row = r->x_image, .ldc = r->y_image};
  const box first = first_box(r);
  box t = first;
  place places[PLACES];
  do {
    for (ptrdiff_t j = 0; j < r->f; j += NR) {
      for (ptrdiff_t i = begin; i < end; i++) places[i - begin] = place_of(r, &t, i / r->ow, i % r->ow, j, &walk);
      for (ptrdiff_t group = 0; group < groups; group++) {
        const ptrdiff_t i = th_split(r->n, group, groups), rows = th_split(r->n, group + 1, groups) - i;
        for (ptrdiff_t pixel = begin, oy = begin / r->ow, ox = begin % r->ow; pixel < end; pixel++) {
          tile_at(r, &places[pixel - begin], i * r->x_image, i * r->y_image + oy * r->y_row + ox * r->y_pixel, j, rows,
                  0);
          if (++ox == r->ow) ox = 0, oy++;
        }
      }
    }
  } while (next_box(r, &first, &t));
}

/** All output pixels of one image that needs no border at its sides: each tile is some neighbours of a row. */
static void along_rows(const th_correlation *r) {
  const ptrdiff_t tiles = th_ceil_div(r->ow, tile_rows(r->f));
  const int wide = r->ow == 1 && r->row && r->all_f != NR; /* weights as they are, for one row: whole rows of them */
  const th_walk walk = {.form = TH_ROWS, .a_row = r->stride * r->x_pixel, .ldc = r->y_pixel};
  const box first = first_box(r);
  box t = first;
  do {
    for (ptrdiff_t j = 0; j < r->f; j += wide ? r->f : NR)
      for (ptrdiff_t oy = 0; oy < r->oh; oy++) {
        const place p = place_of(r, &t, oy, 0, j, &walk);
        for (ptrdiff_t k = 0; k < tiles; k++) {
          const ptrdiff_t ox = th_split(r->ow, k, tiles), rows = th_split(r->ow, k + 1, tiles) - ox;
          tile_at(r, &p, ox * walk.a_row, oy * r->y_row + ox * r->y_pixel, j, rows, wide);
        }
      }
  } while (next_box(r, &first, &t));
}

/** How the images are cut into parts, and whether a part is copied. */
typedef struct {
  int across; /* across images, else along rows */
  int copies;
  ptrdiff_t size;     /* images of a part; along rows: output rows of a part of one image */
  ptrdiff_t distance; /* in a copy, between two images; along rows: between two pixels */
  ptrdiff_t width;    /* along rows: columns that the output reads, from -left on */
} parts;

/** Rows of a tile in the mean, when `count` rows are shared out to tiles of at most `most`. */
static double mean_rows(ptrdiff_t count, ptrdiff_t most) { return (double)count / (double)th_ceil_div(count, most); }

static parts plan_parts(const th_correlation *r) {
  const ptrdiff_t rows = tile_rows(r->all_f), image = r->x_image; /* may be wider than w */
  parts p = {.width = (r->ow - 1) * r->stride + r->kw};
  p.across = mean_rows(r->n, rows) > 1.2 * mean_rows(r->ow, rows) || (r->n >= rows && r->h * r->w <= SMALL_MAP);
  if (p.across) {
    p.copies = rows_collide(image, rows) && image <= PART_FLOATS;
    p.distance = apart(image);
    p.size = p.copies ? th_ceil_div(r->n, th_ceil_div(r->n, th_max(rows, PART_FLOATS / p.distance))) : r->n;
  } else {
    const int has_taps = r->kh * r->kw > 0, collides = rows_collide(r->stride * r->c, th_min(rows, r->ow));
    p.copies = has_taps && (collides || r->left > 0 || p.width - r->left > r->w);
    p.distance = collides ? r->c + 4 : r->c;
    p.size = th_min(r->oh, th_max(1, (PART_FLOATS / th_max(1, p.width * p.distance) - r->kh) / r->stride + 1));
  }
  return p;
}

ptrdiff_t correlation_scratch(const th_correlation *r) {
  const parts p = plan_parts(r);
  if (!p.copies) return 0;
  if (p.across) return th_min(p.size, r->n) * p.distance;
  return th_ceil_div(th_min(r->h, (p.size - 1) * r->stride + r->kh) * p.width * p.distance, 16) * 16;
}

/** Images first to last, at distances that do not collide: as they lie, or in a copy which is made if it `is_new`. */
static th_correlation take_images(const th_correlation *r, const parts *p, ptrdiff_t first, ptrdiff_t last, int is_new,
                                  float *scratch) {
  th_correlation part = *r;
  part.n = last - first;
  part.x += first * r->x_image;
  part.y += first * r->y_image;
  if (!p->copies) return part;
  for (ptrdiff_t i = 0; is_new && i < part.n; i++)
    copy_floats(scratch + i * p->distance, part.x + i * r->x_image, r->x_image);
  part.x = scratch, part.x_image = p->distance;
  return part;
}

/** `rows` output rows of one image, with a border of zeros at the sides of the input rows they meet. */
static th_correlation copy_band(const th_correlation *r, const parts *p, ptrdiff_t image, ptrdiff_t oy, ptrdiff_t rows,
                                float *scratch) {
  const ptrdiff_t begin = oy * r->stride - r->top, end = begin + (rows - 1) * r->stride + r->kh;
  const ptrdiff_t iy0 = th_min(r->h, th_max(0, begin)), iy1 = th_max(iy0, th_min(r->h, end));
  th_correlation part = *r;
  part.n = 1, part.h = iy1 - iy0, part.oh = rows;
  part.top = iy0 - begin;
  part.x += image * r->x_image + iy0 * r->x_row;
  part.y += image * r->y_image + oy * r->y_row;
  if (!p->copies) return part;

  const ptrdiff_t skip = th_min(r->w, th_max(0, -r->left)), before = th_min(p->width, th_max(0, r->left));
  const ptrdiff_t inside = th_max(0, th_min(p->width - before, r->w - skip));
  float *out = scratch;
  for (ptrdiff_t y = 0; y < part.h; y++, out += p->width * p->distance) {
    const float *in = part.x + y * r->x_row + skip * r->x_pixel;
    zero_floats(out, before * p->distance);
    if (p->distance == r->x_pixel) copy_floats(out + before * p->distance, in, inside * p->distance);
    else
      for (ptrdiff_t x = 0; x < inside; x++) copy_floats(out + (before + x) * p->distance, in + x * r->x_pixel, r->c);
    zero_floats(out + (before + inside) * p->distance, (p->width - before - inside) * p->distance);
  }
  part.x = scratch, part.w = p->width, part.left = 0;
  part.x_pixel = p->distance, part.x_row = p->width * p->distance;
  return part;
}

/** Groups of images are shared out and, where those are too few, the output pixels too. */
static void correlate_across(const th_correlation *r, ptrdiff_t number, const parts *p, ptrdiff_t part, ptrdiff_t count,
                             float *scratch) {
  const ptrdiff_t image_parts = th_min(count, th_ceil_div(r->n, tile_rows(r->f))), pixel_parts = count / image_parts;
  if (part >= image_parts * pixel_parts) return;
  const ptrdiff_t slice = part / image_parts, last = th_split(r->n, part % image_parts + 1, image_parts);
  for (ptrdiff_t i = th_split(r->n, part % image_parts, image_parts); i < last; i += p->size)
    for (ptrdiff_t k = 0; k < number; k++) {
      const th_correlation images = take_images(&r[k], p, i, th_min(last, i + p->size), k == 0, scratch);
      const ptrdiff_t pixels = images.oh * images.ow, end = th_split(pixels, slice + 1, pixel_parts);
      for (ptrdiff_t pixel = th_split(pixels, slice, pixel_parts); pixel < end; pixel += PLACES)
        across_images(&images, pixel, th_min(end, pixel + PLACES));
    }
}

/** The rows of all images are shared out. */
static void correlate_along(const th_correlation *r, const parts *p, ptrdiff_t part, ptrdiff_t count, float *scratch) {
  const ptrdiff_t last = th_split(r->n * r->oh, part + 1, count);
  for (ptrdiff_t i = th_split(r->n * r->oh, part, count), rows; i < last; i += rows) {
    rows = th_min(p->size, th_min(r->oh - i % r->oh, last - i));
    const th_correlation band = copy_band(r, p, i / r->oh, i % r->oh, rows, scratch);
    along_rows(&band);
  }
}

void correlate(const th_correlation *r, ptrdiff_t number, ptrdiff_t part, ptrdiff_t count, float *scratch) {
  for (ptrdiff_t k = 0, together; k < number; k += together) {
    together = 1;
    if (r[k].n == 0 || r[k].oh <= 0 || r[k].ow <= 0 || r[k].f == 0) continue;
    const parts p = plan_parts(&r[k]);
    if (p.across && p.copies) together = number - k;
    if (p.across) correlate_across(&r[k], together, &p, part, count, scratch);
    else correlate_along(&r[k], &p, part, count, scratch);
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
