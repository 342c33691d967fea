// Functions of sixteen floats at a time, whatever the CPU has for them.

#pragma once

#ifdef __aarch64__
#include "neon.h"
#elif defined __AVX512F__
#include "avx512.h"
#else
#include "avx2.h"
#endif

#include <cstring>

namespace ttscribe {

inline constexpr int kLanes = 16;

// 2**x, to 2e-7 of itself; 0 for x below -126.
inline Floats exp2(Floats x) {
  const Floats whole = rounded(x), part = sub(x, whole);
  // Taylor's series of exp(part * ln 2), for |part| <= 0.5.
  Floats sum = floats(1.5403530e-4f);
  for (const float factor : {1.3333558e-3f, 9.6181291e-3f, 5.5504109e-2f, 2.4022651e-1f, 6.9314718e-1f, 1.0f}) {
    sum = fma(sum, part, floats(factor));
  }
  return scaled(sum, whole);
}

// x * (1 + erf(x / sqrt 2)) / 2; erf by Abramowitz and Stegun's 7.1.26, to 1.5e-7.
inline Floats gelu(Floats x) {
  const Floats y = mul(abs(x), floats(0.70710678f)), t = div(floats(1.0f), fma(y, floats(0.3275911f), floats(1.0f)));
  Floats sum = floats(1.061405429f);
  for (const float factor : {-1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f}) {
    sum = fma(sum, t, floats(factor));
  }
  const Floats bell = exp2(mul(mul(y, y), floats(-1.44269504f)));
  const Floats erfc = mul(mul(sum, t), bell);
  // Half of erfc of |x| is what is missing to x where x is positive, and what is left where it is negative.
  const Floats tail = mul(mul(abs(x), erfc), floats(-0.5f));
  return add(max(x, floats(0.0f)), tail);
}

// Two neighbours in bfloat16 in each lane, and sum += two products of each.
#ifdef __AVX512BF16__
using Pairs = __m512bh;

// In assembly, as the products of bytes: GCC 12 copies every sum before and after it adds to one.
inline void add_products(Floats& sum, Pairs left, Pairs right) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(left), "v"(right));
}

inline Pairs as_pairs(Ints both) { return (Pairs)both; }

inline void store(Bf16* to, Floats values) {
  const __m256bh rounded = _mm512_cvtneps_pbh(values);
  std::memcpy(to, &rounded, sizeof rounded);
}
#else
struct Pairs {
  Ints both;
  Floats first() const { return as_floats(shifted_left<16>(both)); }
  Floats second() const { return as_floats(bits_and(both, ints(-0x10000))); }
};

inline void add_products(Floats& sum, Pairs left, Pairs right) {
  sum = fma(left.first(), right.first(), sum);
  sum = fma(left.second(), right.second(), sum);
}

inline Pairs as_pairs(Ints both) { return {both}; }

// Ties to even; what is no number may become infinite.
inline void store(Bf16* to, Floats values) {
  const Ints bits = as_ints(values), odd = bits_and(shifted_right<16>(bits), ints(1));
  store_words(to, shifted_right<16>(add(add(bits, ints(0x7FFF)), odd)));
}
#endif

inline Pairs load_pairs(const Bf16* from) { return as_pairs(load_ints(from)); }

// The same two for every lane.
inline Pairs pairs(const Bf16* from) {
  int32_t both;
  std::memcpy(&both, from, sizeof both);
  return as_pairs(ints(both));
}

}  // namespace ttscribe
