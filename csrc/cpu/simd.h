/*
 * Vectors of VL floats, and the size of the tile of C that the micro-kernel keeps in registers: MR rows of NR = 2·VL
 * columns. Written with GCC's vector extensions, so the same source is SSE, NEON, AVX2 or AVX-512.
 *
 * TH_VL and TH_MR may be given on the command line: -DTHIMBLE_WIDE_AVX2=ON (CMakeLists.txt) compiles the AVX-512
 * blocking for AVX2, so that its logic can be tested on a machine without AVX-512.
 */
#ifndef TH_SIMD_H
#define TH_SIMD_H

#include "kernel.h"

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(TH_VL) /* TH_MR too */
#elif defined(__AVX512F__)
#define TH_VL 16
#define TH_MR 14 /* 28 of 32 registers are sums */
#elif defined(__AVX2__)
#define TH_VL 8
#define TH_MR 6 /* 12 of 16 */
#elif defined(__aarch64__)
#define TH_VL 4
#define TH_MR 10 /* 20 of 32 */
#else
#define TH_VL 4
#define TH_MR 6 /* 12 of 16 */
#endif
enum { VL = TH_VL, MR = TH_MR, NR = 2 * VL };
/** Floats of a cache line. */
enum { LINE = 16 };

typedef float vec __attribute__((vector_size(VL * 4)));
/* A vec anywhere in memory: not aligned, and an alias of the floats there. */
typedef float vec_in_memory __attribute__((vector_size(VL * 4), aligned(4), may_alias));

#define TH_UNROLL _Pragma("GCC unroll 32")
/** Hides how a pointer or an index was computed: the compiler keeps it in a register instead of computing it again, and does not
    compute ahead what depends on it. */
#define TH_OPAQUE(value) __asm__("" : "+r"(value))

TH_INLINE ptrdiff_t th_min(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
TH_INLINE ptrdiff_t th_max(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

/* Functions of vec are macros or always inlined: a vector must not cross a call, whose ABI depends on the ISA. */

TH_INLINE vec vec_load(const float *p) { return *(const vec_in_memory *)p; }
TH_INLINE void vec_store(float *p, vec v) { *(vec_in_memory *)p = v; }
/* Subtracting zero, unlike adding it, changes no value, so this is just the broadcast. */
TH_INLINE vec vec_broadcast(float x) { return x - (vec){0}; }

/* A vector mask, all ones or all zeros. NaN compares false, so it passes ReLU but not its gradient. */
typedef int32_t mask __attribute__((vector_size(VL * 4)));
TH_INLINE vec keep_where(mask m, vec v) { return (vec)((mask)v & m); }
TH_INLINE vec drop_where(mask m, vec v) { return (vec)((mask)v & ~m); }

/* Loads and stores of the first n floats of a vector, 0 ≤ n ≤ VL; nothing behind them is touched, and the rest of what
   is loaded is zero. The only intrinsics of the engine. */
#if defined(__AVX512F__) && TH_VL == 16
TH_INLINE vec vec_load_part(const float *p, ptrdiff_t n) {
  return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
TH_INLINE void vec_store_part(float *p, vec v, ptrdiff_t n) {
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
}
#elif defined(__AVX2__) && TH_VL == 8
TH_INLINE __m256i vec_mask(ptrdiff_t n) {
  static const int32_t ones_then_zeros[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256((const __m256i *)(ones_then_zeros + 8 - n));
}
TH_INLINE vec vec_load_part(const float *p, ptrdiff_t n) { return (vec)_mm256_maskload_ps(p, vec_mask(n)); }
/* Not a masked store, which takes an AMD processor some 20 cycles. */
TH_INLINE void vec_store_part(float *p, vec v, ptrdiff_t n) {
  if (n & 8) {
    vec_store(p, v);
    return;
  }
  __m128 rest = _mm256_castps256_ps128((__m256)v);
  if (n & 4) {
    _mm_storeu_ps(p, rest);
    rest = _mm256_extractf128_ps((__m256)v, 1);
    p += 4;
  }
  if (n & 2) {
    _mm_storel_pi((__m64 *)p, rest);
    rest = _mm_movehl_ps(rest, rest);
    p += 2;
  }
  if (n & 1) _mm_store_ss(p, rest);
}
#else
TH_INLINE vec vec_load_part(const float *p, ptrdiff_t n) {
  float t[VL] = {0};
  for (ptrdiff_t i = 0; i < n; i++) t[i] = p[i];
  return vec_load(t);
}
TH_INLINE void vec_store_part(float *p, vec v, ptrdiff_t n) {
  float t[VL];
  vec_store(t, v);
  for (ptrdiff_t i = 0; i < n; i++) p[i] = t[i];
}
#endif

/** Copies of a few to a few hundred floats, for which a call of memcpy costs more than the copy. */
TH_INLINE void copy_floats(float *out, const float *in, ptrdiff_t n) {
  ptrdiff_t i = 0;
  for (; i + VL <= n; i += VL) vec_store(out + i, vec_load(in + i));
  if (i < n) vec_store_part(out + i, vec_load_part(in + i, n - i), n - i);
}

TH_INLINE void zero_floats(float *out, ptrdiff_t n) {
  ptrdiff_t i = 0;
  for (; i + VL <= n; i += VL) vec_store(out + i, (vec){0});
  if (i < n) vec_store_part(out + i, (vec){0}, n - i);
}

/** out (n) += in (n). */
TH_INLINE void add_floats(float *out, const float *in, ptrdiff_t n) {
  ptrdiff_t i = 0;
  for (; i + VL <= n; i += VL) vec_store(out + i, vec_load(out + i) + vec_load(in + i));
  if (i < n) vec_store_part(out + i, vec_load_part(out + i, n - i) + vec_load_part(in + i, n - i), n - i);
}

/** Whether vec_stream, to an aligned address, writes past the caches; `end_streams` must follow before another thread reads. */
#if TH_VL == 8 && defined(__AVX2__)
enum { STREAMS = 1 };
#define vec_stream(p, x) _mm256_stream_ps(p, (__m256)(x))
#define end_streams() _mm_sfence()
#elif TH_VL == 16 && defined(__AVX512F__)
enum { STREAMS = 1 };
#define vec_stream(p, x) _mm512_stream_ps(p, (__m512)(x))
#define end_streams() _mm_sfence()
#else
enum { STREAMS = 0 };
#define vec_stream(p, x) vec_store(p, x)
#define end_streams() ((void)0)
#endif

#endif
