/*
 * A convolution or its data gradient as correlations of one input: a single one, or with a stride the data gradient's
 * stride × stride phases, each of which meets its own taps only.
 */
#ifndef TH_PHASES_H
#define TH_PHASES_H

#include "correlate.h"
#include "parallel.h"

typedef struct th_phases th_phases;

/** A tap of the weights. */
typedef struct {
  ptrdiff_t ky, kx;
} th_tap;

/** The matrix of a tap as a correlation sees it, (its c × its f): rows `row` on, `count` of them, and columns `column` on, `cols`
    ≤ NR of them, as a panel. */
typedef void th_pack_weights(const th_phases *w, th_tap at, ptrdiff_t row, ptrdiff_t count, ptrdiff_t column,
                             ptrdiff_t cols, float *panel);

/** One of them, and how it is computed. */
typedef struct {
  th_correlation r;
  th_tap first; /* which of the weights is its tap (0, 0) */
  int winograd;
  ptrdiff_t scratch; /* without Winograd's filtering */
} th_phase;

/** What is to be computed, and from `counted` on what is found of it for the threads. */
struct th_phases {
  th_conv_shape shape;
  const float *in, *weight, *bias;
  th_epilogue epilogue;
  float *out;
  ptrdiff_t phases;
  th_correlation (*phase)(const th_phases *w, ptrdiff_t index, th_tap *first);
  th_pack_weights *pack;
  ptrdiff_t tap_step; /* from tap to tap of a correlation, among the weights */
  int counted;        /* threads for which is chosen whether a phase goes by Winograd's filtering */
  th_phase first;
  ptrdiff_t channel_parts, pixel_parts;
  float *scratch; /* for each thread: packed weights, then the work space of the correlation */
  ptrdiff_t panels, scratch_part;
};

/** Computes all of them. Returns a th_status. */
#define phases_run TH_ISA_NAME(phases_run)
int32_t phases_run(th_phases *w, const char *operation);

/** A member's share. Whether a phase goes by Winograd's filtering is chosen for `counted` threads. */
#define phases_share TH_ISA_NAME(phases_share)
int32_t phases_share(th_phases *w, int counted, th_member m, const char *operation);

#endif
