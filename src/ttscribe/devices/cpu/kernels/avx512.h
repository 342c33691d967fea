// Sixteen numbers at a time in one register: AVX-512 with VNNI, and BF16 where the CPU has it.

#pragma once

#include <immintrin.h>

#include <cstdint>

namespace ttscribe {

using Bf16 = uint16_t;
using Float16 = _Float16;
using Floats = __m512;
using Ints = __m512i;

inline constexpr int kRows = 12;  // of a product's tile: with two registers of sums each they fill 24 of 32
inline constexpr int kBits = 8;   // of an activation, or of each of its two parts

inline Floats floats(float value) { return _mm512_set1_ps(value); }
inline Ints ints(int32_t value) { return _mm512_set1_epi32(value); }

inline Floats load(const float* from) { return _mm512_loadu_ps(from); }
inline Floats load(const Bf16* from) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
inline Ints load_ints(const void* from) { return _mm512_loadu_si512(from); }
inline void store(float* to, Floats values) { _mm512_storeu_ps(to, values); }

inline Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
inline Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
inline Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
inline Floats div(Floats a, Floats b) { return _mm512_div_ps(a, b); }
inline Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
inline Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
inline Floats min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
inline Floats abs(Floats a) { return _mm512_abs_ps(a); }

inline Ints add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
inline Ints sub(Ints a, Ints b) { return _mm512_sub_epi32(a, b); }
inline Ints mul(Ints a, Ints b) { return _mm512_mullo_epi32(a, b); }
inline Ints max(Ints a, Ints b) { return _mm512_max_epi32(a, b); }
inline Ints min(Ints a, Ints b) { return _mm512_min_epi32(a, b); }
inline Ints bits_and(Ints a, Ints b) { return _mm512_and_si512(a, b); }
template <int BITS>
Ints shifted_left(Ints a) {
  return _mm512_slli_epi32(a, BITS);
}
template <int BITS>
Ints shifted_right(Ints a) {
  return _mm512_srli_epi32(a, BITS);
}

inline Floats to_floats(Ints a) { return _mm512_cvtepi32_ps(a); }
inline Ints to_ints(Floats a) { return _mm512_cvtps_epi32(a); }

inline float sum_of(Floats a) { return _mm512_reduce_add_ps(a); }
inline float largest_of(Floats a) { return _mm512_reduce_max_ps(a); }
inline float least_of(Floats a) { return _mm512_reduce_min_ps(a); }

// The nearest whole number.
inline Floats rounded(Floats a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

// a * 2**whole; 0 where that is too small.
inline Floats scaled(Floats a, Floats whole) { return _mm512_scalef_ps(a, whole); }

// The first ``count`` numbers.
inline void store_first(float* to, int64_t count, Floats values) {
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>(count >= 16 ? 0xFFFF : (1 << count) - 1), values);
}

// Numbers from 0 on, those above 255 as 255.
inline void store_bytes(uint8_t* to, Ints values) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtusepi32_epi8(values));
}

// sum += four products of each lane, of unsigned and signed bytes. In assembly: GCC 12 copies every sum
// before and after it adds to one.
inline void add_products(Ints& sum, Ints activations, Ints weights) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(activations), "v"(weights));
}

// sum += the products of each lane.
inline void add_products(Floats& sum, Floats left, Floats right) { sum = fma(left, right, sum); }

// The same bits.
inline Floats as_floats(Ints bits) { return _mm512_castsi512_ps(bits); }
inline Ints as_ints(Floats values) { return _mm512_castps_si512(values); }

// The lower half of each number.
inline void store_words(uint16_t* to, Ints values) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(values));
}

}  // namespace ttscribe
