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

inline void store(Bf16* to, __m512 values) {
  const __m256bh rounded = _mm512_cvtneps_pbh(values);
  __builtin_memcpy(to, &rounded, sizeof rounded);
}

// In assembly, as GCC 12 copies every sum before and after it adds to one.
// sum += four products of each lane, of unsigned and signed bytes.
inline void add_products(__m512i& sum, __m512i activations, __m512i weights) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(activations), "v"(weights));
}

// sum += two products of each lane.
inline void add_products(__m512& sum, __m512bh left, __m512bh right) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(left), "v"(right));
}

// Two neighbours in bfloat16, in every pair of lanes.
inline __m512bh pairs(const Bf16* from) {
  int32_t both;
  __builtin_memcpy(&both, from, sizeof both);
  return (__m512bh)_mm512_set1_epi32(both);
}

}  // namespace ttscribe
