/* Correlation by Winograd's minimal filtering, for windows of 3 × 3 or 2 × 2 taps (winograd.h). */
#ifndef TH_CORRELATE_WINOGRAD_H
#define TH_CORRELATE_WINOGRAD_H

#include "winograd.h"

/** Floats of work space that a part of `count` parts needs, a multiple of 16. */
#define winograd_scratch TH_ISA_NAME(winograd_scratch)
ptrdiff_t winograd_scratch(const th_correlation *r, ptrdiff_t count);

/** Packs as a panel: of tap t's matrix (channels of a sample, f) rows c0 on, `count` of them, and columns j on, `cols` ≤ NR of
    them. */
typedef void th_pack_tap(const void *context, ptrdiff_t t, ptrdiff_t c0, ptrdiff_t count, ptrdiff_t j, ptrdiff_t cols,
                         float *panel);

/** Part `part` of the output's tiles, of `count` parts. The weights come from `pack`, not from r->weights. */
#define correlate_winograd TH_ISA_NAME(correlate_winograd)
void correlate_winograd(const th_correlation *r, ptrdiff_t part, ptrdiff_t count, th_pack_tap *pack,
                        const void *context, float *scratch);

#endif
