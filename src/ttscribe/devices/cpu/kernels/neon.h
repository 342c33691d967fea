// Sixteen numbers at a time in four registers: Armv8.2 with dot products, of signed and unsigned bytes (I8MM) where the
// CPU has them.

#pragma once

#include <arm_neon.h>

#include <algorithm>
#include <cstdint>

namespace ttscribe {

using Bf16 = uint16_t;
using Float16 = __fp16;

struct Floats {
  float32x4_t a, b, c, d;
};

struct Ints {
  int32x4_t a, b, c, d;
};

inline constexpr int kRows = 2;  // of a product's tile: with eight registers of sums each they fill 16 of 32
#ifdef __ARM_FEATURE_MATMUL_INT8
inline constexpr int kBits = 8;  // of an activation, or of each of its two parts
#else
// Of an activation, or of each of its two parts: products of signed bytes take them for signed too.
inline constexpr int kBits = 7;
#endif

// call(a register of each value) for each of the four.
template <class Result, class Call, class... Values>
inline __attribute__((always_inline)) Result each(Call&& call, const Values&... values) {
  return {call(values.a...), call(values.b...), call(values.c...), call(values.d...)};
}

inline Floats floats(float value) {
  const float32x4_t same = vdupq_n_f32(value);
  return {same, same, same, same};
}
inline Ints ints(int32_t value) {
  const int32x4_t same = vdupq_n_s32(value);
  return {same, same, same, same};
}

inline float32x4_t widened(uint16x4_t bfloats) { return vreinterpretq_f32_u32(vshll_n_u16(bfloats, 16)); }

inline Floats load(const float* from) {
  return {vld1q_f32(from), vld1q_f32(from + 4), vld1q_f32(from + 8), vld1q_f32(from + 12)};
}
inline Floats load(const Bf16* from) {
  return {widened(vld1_u16(from)), widened(vld1_u16(from + 4)), widened(vld1_u16(from + 8)),
          widened(vld1_u16(from + 12))};
}
inline Ints load_ints(const void* from) {
  const auto* numbers = static_cast<const int32_t*>(from);
  return {vld1q_s32(numbers), vld1q_s32(numbers + 4), vld1q_s32(numbers + 8), vld1q_s32(numbers + 12)};
}
inline void store(float* to, Floats values) {
  vst1q_f32(to, values.a);
  vst1q_f32(to + 4, values.b);
  vst1q_f32(to + 8, values.c);
  vst1q_f32(to + 12, values.d);
}

inline Floats add(Floats a, Floats b) { return each<Floats>(vaddq_f32, a, b); }
inline Floats sub(Floats a, Floats b) { return each<Floats>(vsubq_f32, a, b); }
inline Floats mul(Floats a, Floats b) { return each<Floats>(vmulq_f32, a, b); }
inline Floats div(Floats a, Floats b) { return each<Floats>(vdivq_f32, a, b); }
inline Floats fma(Floats a, Floats b, Floats c) { return each<Floats>(vfmaq_f32, c, a, b); }
inline Floats max(Floats a, Floats b) { return each<Floats>(vmaxq_f32, a, b); }
inline Floats min(Floats a, Floats b) { return each<Floats>(vminq_f32, a, b); }
inline Floats abs(Floats a) { return each<Floats>(vabsq_f32, a); }

inline Ints add(Ints a, Ints b) { return each<Ints>(vaddq_s32, a, b); }
inline Ints sub(Ints a, Ints b) { return each<Ints>(vsubq_s32, a, b); }
inline Ints mul(Ints a, Ints b) { return each<Ints>(vmulq_s32, a, b); }
inline Ints max(Ints a, Ints b) { return each<Ints>(vmaxq_s32, a, b); }
inline Ints min(Ints a, Ints b) { return each<Ints>(vminq_s32, a, b); }
inline Ints bits_and(Ints a, Ints b) { return each<Ints>(vandq_s32, a, b); }
template <int BITS>
Ints shifted_left(Ints a) {
  return each<Ints>([](int32x4_t x) { return vshlq_n_s32(x, BITS); }, a);
}
template <int BITS>
Ints shifted_right(Ints a) {
  return each<Ints>([](int32x4_t x) { return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(x), BITS)); }, a);
}

inline Floats to_floats(Ints a) { return each<Floats>(vcvtq_f32_s32, a); }
inline Ints to_ints(Floats a) { return each<Ints>(vcvtnq_s32_f32, a); }

inline float sum_of(Floats a) { return vaddvq_f32(vaddq_f32(vaddq_f32(a.a, a.b), vaddq_f32(a.c, a.d))); }
inline float largest_of(Floats a) { return vmaxvq_f32(vmaxq_f32(vmaxq_f32(a.a, a.b), vmaxq_f32(a.c, a.d))); }
inline float least_of(Floats a) { return vminvq_f32(vminq_f32(vminq_f32(a.a, a.b), vminq_f32(a.c, a.d))); }

// The nearest whole number.
inline Floats rounded(Floats a) { return each<Floats>(vrndnq_f32, a); }

// a * 2**whole, a being from 0.5 to 2; 0 where that is too small.
inline Floats scaled(Floats a, Floats whole) {
  return each<Floats>(
      [](float32x4_t x, float32x4_t power) {
        const uint32x4_t there = vcgeq_f32(power, vdupq_n_f32(-126.0f));
        const int32x4_t exponent = vshlq_n_s32(vcvtnq_s32_f32(power), 23);
        const int32x4_t moved = vaddq_s32(vreinterpretq_s32_f32(x), exponent);
        return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_s32(moved), there));
      },
      a, whole);
}

// The first ``count`` numbers.
inline void store_first(float* to, int64_t count, Floats values) {
  float all[16];
  store(all, values);
  std::copy_n(all, std::min<int64_t>(count, 16), to);
}

// Numbers from 0 on, those above 255 as 255.
inline void store_bytes(uint8_t* to, Ints values) {
  const uint16x8_t low = vcombine_u16(vqmovun_s32(values.a), vqmovun_s32(values.b));
  const uint16x8_t high = vcombine_u16(vqmovun_s32(values.c), vqmovun_s32(values.d));
  vst1q_u8(to, vcombine_u8(vqmovn_u16(low), vqmovn_u16(high)));
}

// sum += four products of each lane, of unsigned and signed bytes.
inline int32x4_t with_products(int32x4_t sum, int32x4_t activations, int32x4_t weights) {
#ifdef __ARM_FEATURE_MATMUL_INT8
  return vusdotq_s32(sum, vreinterpretq_u8_s32(activations), vreinterpretq_s8_s32(weights));
#else
  return vdotq_s32(sum, vreinterpretq_s8_s32(activations), vreinterpretq_s8_s32(weights));
#endif
}
inline void add_products(Ints& sum, Ints activations, Ints weights) {
  sum = each<Ints>(with_products, sum, activations, weights);
}

// sum += the products of each lane.
inline void add_products(Floats& sum, Floats left, Floats right) { sum = fma(left, right, sum); }

// The same bits.
inline Floats as_floats(Ints bits) { return each<Floats>(vreinterpretq_f32_s32, bits); }
inline Ints as_ints(Floats values) { return each<Ints>(vreinterpretq_s32_f32, values); }

// The lower half of each number.
inline void store_words(uint16_t* to, Ints values) {
  vst1_u16(to, vmovn_u32(vreinterpretq_u32_s32(values.a)));
  vst1_u16(to + 4, vmovn_u32(vreinterpretq_u32_s32(values.b)));
  vst1_u16(to + 8, vmovn_u32(vreinterpretq_u32_s32(values.c)));
  vst1_u16(to + 12, vmovn_u32(vreinterpretq_u32_s32(values.d)));
}

}  // namespace ttscribe
