/*
 * exp, log, tanh, sigmoid, the normal distribution, sine and cosine that a compiler can vectorise: straight-line code, no
 * calls, no tables.
 *
 * Polynomials are Cephes' (Moshier) where nothing else is said. Relative error is about 1e-7 over the whole range. NaN
 * propagates; infinities, zeros, overflow and subnormal numbers give what C's functions give.
 */
#ifndef TH_VMATH_H
#define TH_VMATH_H

#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__
#define TH_VMATH static __host__ __device__ __forceinline__
#else
#define TH_VMATH static inline __attribute__((always_inline))
#endif

TH_VMATH float th_from_bits(uint32_t bits) {
  union {
    uint32_t bits;
    float value;
  } u = {.bits = bits};
  return u.value;
}

TH_VMATH uint32_t th_to_bits(float value) {
  union {
    float value;
    uint32_t bits;
  } u = {.value = value};
  return u.bits;
}

/** e^x = 2^n · e^r with n = round(x / ln 2), |r| <= ln(2) / 2. */
TH_VMATH float th_expf(float x) {
  const float round = 0x1.8p23f; /* adding it leaves the rounded integer in the low bits */
  x = x > 89.0f ? 89.0f : x;     /* above, the result is infinite */
  x = x < -104.0f ? -104.0f : x; /* below, zero */
  const float shifted = x * 1.44269504f + round;
  const float n = shifted - round;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  /* 2^n in two factors: n reaches from -150 to 128, beyond what one exponent holds. */
  const int32_t exponent = (int32_t)(th_to_bits(shifted) - th_to_bits(round));
  const int32_t half = exponent >> 1;
  return p * th_from_bits((uint32_t)(half + 127) << 23) * th_from_bits((uint32_t)(exponent - half + 127) << 23);
}

/** log x = e · ln 2 + log m with x = 2^e · m, √½ <= m < √2. */
TH_VMATH float th_logf(float x) {
  const int subnormal = x < 0x1p-126f;
  const float scaled = subnormal ? x * 0x1p23f : x;
  /* Taking the bits of √½ off makes the exponent field count from the wanted interval. */
  const uint32_t bits = th_to_bits(scaled) - 0x3f3504f3u;
  const float e = (float)((int32_t)bits >> 23) - (subnormal ? 23.0f : 0.0f);
  const float m = th_from_bits((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
  const float square = m * m;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  p = p * m * square + e * -2.12194440e-4f - 0.5f * square;
  float result = m + p + e * 0.693359375f;
  result = x > 0x1.fffffep127f ? x : result; /* infinity */
  result = x == 0.0f ? -INFINITY : result;
  return x >= 0.0f ? result : NAN;
}

/** An odd polynomial near zero, where 1 - 2 / (e^2x + 1) would cancel. */
TH_VMATH float th_tanhf(float x) {
  const float square = x * x;
  float p = -5.70498872745e-3f;
  p = p * square + 2.06390887954e-2f;
  p = p * square - 5.37397155531e-2f;
  p = p * square + 1.33314422036e-1f;
  p = p * square - 3.33332819422e-1f;
  const float near = p * square * x + x;
  const float far = 1.0f - 2.0f / (th_expf(2.0f * fabsf(x)) + 1.0f);
  return copysignf(fabsf(x) < 0.625f ? near : far, x);
}

TH_VMATH float th_sigmoidf(float x) { return 1.0f / (1.0f + th_expf(-x)); }

/** log(1 + x) for x >= 0: what rounding took from 1 + x is put back (Kahan). */
TH_VMATH float th_log1pf(float x) {
  const float sum = 1.0f + x;
  return sum == 1.0f ? x : th_logf(sum) * (x / (sum - 1.0f));
}

/** The normal distribution Φ(x) and its density φ(x). */
typedef struct {
  float distribution, density;
} th_gaussian_values;

/** Φ(-|x|) = exp(-x² / 2) · R, so that what is small keeps its digits; R is a polynomial of 1 / (1 + 0.3 |x|), fitted here
    to 3.5e-9. */
TH_VMATH th_gaussian_values th_gaussian(float x) {
  const float t = 1.0f / (1.0f + 0.3f * fabsf(x)), bell = th_expf(-0.5f * x * x);
  float r = -2.062353344e-2f;
  r = r * t + 1.124359576e-1f;
  r = r * t - 2.282143943e-1f;
  r = r * t + 1.917855684e-1f;
  r = r * t - 7.942432446e-2f;
  r = r * t + 9.615726243e-2f;
  r = r * t + 7.838950823e-2f;
  r = r * t + 1.102354532e-1f;
  r = r * t + 1.195718107e-1f;
  r = r * t + 1.196866900e-1f;
  const float tail = bell * (r * t);
  const th_gaussian_values result = {x < 0 ? tail : 1.0f - tail, bell * 0.398942280f};
  return result;
}

/** sin, or with `quarter` = 1 cos, of |x| <= TH_TRIG_MAX: x less a multiple of π/2, in double precision, so that zeros are
    exact. */
#define TH_TRIG_MAX 1e6f
TH_VMATH float th_sine(float x, int32_t quarter) {
  const double round = 0x1.8p52; /* adding it leaves the rounded integer in the low bits */
  const double n = ((double)x * 0.63661977236758134308 + round) - round;
  /* 33 bits of π/2, so that n times that is exact, and the rest (fdlibm). */
  const float r = (float)(((double)x - n * 1.57079632673412561417) - n * 6.07710050650619224932e-11);
  const int32_t quadrant = (int32_t)n + quarter;
  const float square = r * r;
  const float s = ((-1.9515295891e-4f * square + 8.3321608736e-3f) * square - 1.6666654611e-1f) * square * r + r;
  const float c =
      ((2.443315711809948e-5f * square - 1.388731625493765e-3f) * square + 4.166664568298827e-2f) * square * square -
      0.5f * square + 1.0f;
  const float along = quadrant & 1 ? c : r == 0 ? r : s; /* -0 stays -0 */
  return quadrant & 2 ? -along : along;
}

/** cos and sin of turn / 2^24 turns, turn in [0, 2^24): the quadrant is exact, so no accuracy is lost to 2π. */
TH_VMATH void th_cos_sin(int32_t turn, float *cosine, float *sine) {
  const int32_t quadrant = (turn + (1 << 21)) >> 22; /* nearest quarter turn, 0 … 4 */
  const float x = (float)(turn - (quadrant * (1 << 22))) * (1.57079632679f * 0x1p-22f); /* in [-π/4, π/4] */
  const float square = x * x;
  const float s = ((-1.9515295891e-4f * square + 8.3321608736e-3f) * square - 1.6666654611e-1f) * square * x + x;
  const float c =
      ((2.443315711809948e-5f * square - 1.388731625493765e-3f) * square + 4.166664568298827e-2f) * square * square -
      0.5f * square + 1.0f;
  const float along = quadrant & 1 ? s : c, across = quadrant & 1 ? c : s;
  *cosine = (quadrant + 1) & 2 ? -along : along;
  *sine = quadrant & 2 ? -across : across;
}

#endif
