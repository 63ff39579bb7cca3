/* Which elements dropout keeps, from 24 random bits of each: the same on every device. */
#ifndef TH_COMMON_DROPOUT_H
#define TH_COMMON_DROPOUT_H

#include "vmath.h"

/** What dropout with probability p does to an element whose random word is given: see th_dropout. */
typedef struct {
  int32_t threshold; /* dropped below, of 2^24 */
  float scale;
  uint32_t seed, stream;
} th_dropout_rule;

TH_VMATH th_dropout_rule th_make_dropout_rule(double p, int32_t seed, int32_t stream) {
  const th_dropout_rule rule = {(int32_t)ceil(p * 0x1p24), (float)(1 / (1 - p)), (uint32_t)seed, (uint32_t)stream};
  return rule;
}

TH_VMATH int th_is_dropped(th_dropout_rule rule, uint32_t word) { return (int32_t)(word >> 8) < rule.threshold; }

#endif
