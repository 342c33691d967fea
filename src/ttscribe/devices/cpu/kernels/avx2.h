// Sixteen numbers at a time in two registers: AVX2, and VNNI of 256 bits where the CPU has it.

#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

namespace ttscribe {

using Bf16 = uint16_t;
using Float16 = _Float16;

struct Floats {
  __m256 low, high;
};

struct Ints {
  __m256i low, high;
};

inline constexpr int kRows = 2;  // of a product's tile: with four registers of sums each they fill 8 of 16
#ifdef __AVXVNNI__
inline constexpr int kBits = 8;  // of an activation, or of each of its two parts
#else
// Of an activation, or of each of its two parts: two products of such numbers and of weights fit 16 bits.
inline constexpr int kBits = 7;
#endif

inline Floats floats(float value) { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
inline Ints ints(int32_t value) { return {_mm256_set1_epi32(value), _mm256_set1_epi32(value)}; }

inline __m256i load_eight(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
inline __m256 widened(__m128i bfloats) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bfloats), 16));
}

inline Floats load(const float* from) { return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)}; }
inline Floats load(const Bf16* from) {
  const __m256i all = load_eight(from);
  return {widened(_mm256_castsi256_si128(all)), widened(_mm256_extracti128_si256(all, 1))};
}
inline Ints load_ints(const void* from) { return {load_eight(from), load_eight(static_cast<const char*>(from) + 32)}; }
inline void store(float* to, Floats values) {
  _mm256_storeu_ps(to, values.low);
  _mm256_storeu_ps(to + 8, values.high);
}

inline Floats add(Floats a, Floats b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
inline Floats sub(Floats a, Floats b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
inline Floats mul(Floats a, Floats b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
inline Floats div(Floats a, Floats b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
inline Floats fma(Floats a, Floats b, Floats c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
inline Floats max(Floats a, Floats b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
inline Floats min(Floats a, Floats b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
inline Floats abs(Floats a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
}

inline Ints add(Ints a, Ints b) { return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)}; }
inline Ints sub(Ints a, Ints b) { return {_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)}; }
inline Ints mul(Ints a, Ints b) { return {_mm256_mullo_epi32(a.low, b.low), _mm256_mullo_epi32(a.high, b.high)}; }
inline Ints max(Ints a, Ints b) { return {_mm256_max_epi32(a.low, b.low), _mm256_max_epi32(a.high, b.high)}; }
inline Ints min(Ints a, Ints b) { return {_mm256_min_epi32(a.low, b.low), _mm256_min_epi32(a.high, b.high)}; }
inline Ints bits_and(Ints a, Ints b) { return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)}; }
template <int BITS>
Ints shifted_left(Ints a) {
  return {_mm256_slli_epi32(a.low, BITS), _mm256_slli_epi32(a.high, BITS)};
}
template <int BITS>
Ints shifted_right(Ints a) {
  return {_mm256_srli_epi32(a.low, BITS), _mm256_srli_epi32(a.high, BITS)};
}

inline Floats to_floats(Ints a) { return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)}; }
inline Ints to_ints(Floats a) { return {_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high)}; }

// The number that is left of sixteen by ``two``, which gives one of two for eight lanes or for four.
template <class Eight, class Four>
float left_of(Floats a, Eight&& eight, Four&& four) {
  const __m256 both = eight(a.low, a.high);
  __m128 rest = four(_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1));
  rest = four(rest, _mm_movehl_ps(rest, rest));
  return _mm_cvtss_f32(four(rest, _mm_movehdup_ps(rest)));
}
inline float sum_of(Floats a) {
  return left_of(
      a, [](__m256 x, __m256 y) { return _mm256_add_ps(x, y); }, [](__m128 x, __m128 y) { return _mm_add_ps(x, y); });
}
inline float largest_of(Floats a) {
  return left_of(
      a, [](__m256 x, __m256 y) { return _mm256_max_ps(x, y); }, [](__m128 x, __m128 y) { return _mm_max_ps(x, y); });
}
inline float least_of(Floats a) {
  return left_of(
      a, [](__m256 x, __m256 y) { return _mm256_min_ps(x, y); }, [](__m128 x, __m128 y) { return _mm_min_ps(x, y); });
}

// The nearest whole number.
inline Floats rounded(Floats a) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.low, kNearest), _mm256_round_ps(a.high, kNearest)};
}

// a * 2**whole, a being from 0.5 to 2; 0 where that is too small.
inline __m256 scaled(__m256 a, __m256 whole) {
  const __m256 there = _mm256_cmp_ps(whole, _mm256_set1_ps(-126.0f), _CMP_GE_OQ);
  const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(whole), 23);
  return _mm256_and_ps(_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), exponent)), there);
}
inline Floats scaled(Floats a, Floats whole) { return {scaled(a.low, whole.low), scaled(a.high, whole.high)}; }

// The first ``count`` numbers.
inline void store_first(float* to, int64_t count, Floats values) {
  alignas(32) float all[16];
  store(all, values);
  std::copy_n(all, std::min<int64_t>(count, 16), to);
}

// Numbers from 0 on, those above 255 as 255.
inline void store_bytes(uint8_t* to, Ints values) {
  // Packing goes half by half: the second and third quarters change places.
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(values.low, values.high), 0xD8);
  const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
}

// sum += four products of each lane, of unsigned and signed bytes.
inline void add_products(__m256i& sum, __m256i activations, __m256i weights) {
#ifdef __AVXVNNI__
  sum = _mm256_dpbusd_avx_epi32(sum, activations, weights);
#else
  const __m256i pairs = _mm256_maddubs_epi16(activations, weights);
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
#endif
}
inline void add_products(Ints& sum, Ints activations, Ints weights) {
  add_products(sum.low, activations.low, weights.low);
  add_products(sum.high, activations.high, weights.high);
}

// sum += the products of each lane.
inline void add_products(Floats& sum, Floats left, Floats right) { sum = fma(left, right, sum); }

// The same bits.
inline Floats as_floats(Ints bits) { return {_mm256_castsi256_ps(bits.low), _mm256_castsi256_ps(bits.high)}; }
inline Ints as_ints(Floats values) { return {_mm256_castps_si256(values.low), _mm256_castps_si256(values.high)}; }

// The lower half of each number, of those from 0 to 65535.
inline void store_words(uint16_t* to, Ints values) {
  // Packing goes half by half: the second and third quarters change places.
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(values.low, values.high), 0xD8);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), words);
}

}  // namespace ttscribe
