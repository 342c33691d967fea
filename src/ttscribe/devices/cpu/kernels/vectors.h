// Sixteen floats at a time.

#pragma once

#include <immintrin.h>

#include <cstdint>

namespace ttscribe {

using Bf16 = uint16_t;

inline constexpr int kLanes = 16;

// 2**x, to 2e-7 of itself; 0 for x below -126.
inline __m512 exp2(__m512 x) {
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 part = _mm512_sub_ps(x, whole);
  // Taylor's series of exp(part * ln 2), for |part| <= 0.5.
  __m512 sum = _mm512_set1_ps(1.5403530e-4f);
  sum = _mm512_fmadd_ps(sum, part, _mm512_set1_ps(1.3333558e-3f));
  sum = _mm512_fmadd_ps(sum, part, _mm512_set1_ps(9.6181291e-3f));
  sum = _mm512_fmadd_ps(sum, part, _mm512_set1_ps(5.5504109e-2f));
  sum = _mm512_fmadd_ps(sum, part, _mm512_set1_ps(2.4022651e-1f));
  sum = _mm512_fmadd_ps(sum, part, _mm512_set1_ps(6.9314718e-1f));
  sum = _mm512_fmadd_ps(sum, part, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(sum, whole);
}

// x * (1 + erf(x / sqrt 2)) / 2; erf by Abramowitz and Stegun's 7.1.26, to 1.5e-7.
inline __m512 gelu(__m512 x) {
  const __m512 y = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.70710678f));
  const __m512 t =
      _mm512_div_ps(_mm512_set1_ps(1.0f), _mm512_fmadd_ps(y, _mm512_set1_ps(0.3275911f), _mm512_set1_ps(1.0f)));
  __m512 sum = _mm512_set1_ps(1.061405429f);
  sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(-1.453152027f));
  sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(1.421413741f));
  sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(-0.284496736f));
  sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(0.254829592f));
  const __m512 bell = exp2(_mm512_mul_ps(_mm512_mul_ps(y, y), _mm512_set1_ps(-1.44269504f)));
  const __m512 erfc = _mm512_mul_ps(_mm512_mul_ps(sum, t), bell);
  // Half of erfc of |x| is what is missing to x where x is positive, and what is left where it is negative.
  const __m512 tail = _mm512_mul_ps(_mm512_mul_ps(_mm512_abs_ps(x), erfc), _mm512_set1_ps(-0.5f));
  return _mm512_add_ps(_mm512_max_ps(x, _mm512_setzero_ps()), tail);
}

inline __m512 load(const float* from) { return _mm512_loadu_ps(from); }

inline __m512 load(const Bf16* from) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

inline void store(float* to, __m512 values) { _mm512_storeu_ps(to, values); }

#ifdef __AVX512BF16__
inline void store(Bf16* to, __m512 values) {
  const __m256bh rounded = _mm512_cvtneps_pbh(values);
  __builtin_memcpy(to, &rounded, sizeof rounded);
}
#else
// Ties to even; what is no number may become infinite.
inline void store(Bf16* to, __m512 values) {
  const __m512i bits = _mm512_castps_si512(values);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
}
#endif

// In assembly, as GCC 12 copies every sum before and after it adds to one.
// sum += four products of each lane, of unsigned and signed bytes.
inline void add_products(__m512i& sum, __m512i activations, __m512i weights) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(activations), "v"(weights));
}

// Two neighbours in bfloat16 in each lane.
#ifdef __AVX512BF16__
using Pairs = __m512bh;
#else
using Pairs = __m512i;
#endif

inline Pairs load_pairs(const Bf16* from) { return (Pairs)_mm512_loadu_si512(from); }

// The same two for every lane.
inline Pairs pairs(const Bf16* from) {
  int32_t both;
  __builtin_memcpy(&both, from, sizeof both);
  return (Pairs)_mm512_set1_epi32(both);
}

// sum += two products of each lane.
#ifdef __AVX512BF16__
inline void add_products(__m512& sum, Pairs left, Pairs right) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(left), "v"(right));
}
#else
inline __m512 first(Pairs both) { return _mm512_castsi512_ps(_mm512_slli_epi32(both, 16)); }
inline __m512 second(Pairs both) {
  return _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32(static_cast<int>(0xFFFF0000))));
}

inline void add_products(__m512& sum, Pairs left, Pairs right) {
  sum = _mm512_fmadd_ps(first(left), first(right), sum);
  sum = _mm512_fmadd_ps(second(left), second(right), sum);
}
#endif

}  // namespace ttscribe
