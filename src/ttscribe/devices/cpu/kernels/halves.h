// Attention of heads of 64 with products in float16, for CPUs that have them: twice as many at once as in bfloat16, and
// four times as many on Intel's, which take two cycles for each of those.
//
// Scores are summed in float16, and so are the values of 128 keys; all else is float32. Weights are at most 1, so that
// a sum of values stays below 65504 unless they are above 500.

#pragma once

#include "attention.h"

namespace ttscribe {

using Half = _Float16;

inline constexpr int kHalves = 32;            // lanes
inline constexpr int kColumns = 2 * kHalves;  // keys or values that products are taken of at a time
inline constexpr int kSummed = 128;           // keys whose values are summed in float16
static_assert(kHead == kColumns, "values of a head are two registers");

// sum += the products of each lane; in assembly as the others.
inline void add_products(__m512h& sum, __m512h left, __m512h right) {
  asm("vfmadd231ph %2, %1, %0" : "+v"(sum) : "v"(left), "v"(right));
}

inline __m512h load_halves(const Half* from) { return _mm512_loadu_ph(from); }

inline void store(Half* to, Floats values) { _mm256_storeu_ph(to, _mm512_cvtxps_ph(values)); }

// The 16 halves of a register from ``half`` on, 0 or 1.
inline Floats widened(__m512h values, int half) {
  const __m512i bits = _mm512_castph_si512(values);
  const __m256i part = half ? _mm512_extracti64x4_epi64(bits, 1) : _mm512_castsi512_si256(bits);
  return _mm512_cvtxph_ps(_mm256_castsi256_ph(part));
}

// A number twice, so that what is read for all lanes is 32 bits, which costs no more than a load.
inline uint32_t twice(Half value) {
  uint16_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits * 0x10001u;
}

// Keys and values of one head as the products read them, filled up to a multiple of 128 keys: keys
// [length / 64, 64, 64], in which 64 keys lie beside each other, and values [length, 64].
inline int64_t filled_halves(int64_t length) { return rounded_up(length, kSummed); }

template <>
inline int64_t packed_head<Half>(int64_t length) {
  return 2 * filled_halves(length) * kHead;
}

template <>
inline void pack_head<Half>(const Half* keys, const Half* values, int64_t stride, int64_t length, Half* to) {
  const int64_t full = filled_halves(length);
  const Half none[kHead] = {};
  for (int64_t key = 0; key < full; ++key) {
    const Half* from = key < length ? keys + key * stride : none;
    Half* block = to + key / kColumns * kColumns * kHead + key % kColumns;
    for (int at = 0; at < kHead; ++at) block[at * kColumns] = from[at];
    std::memcpy(to + (full + key) * kHead, key < length ? values + key * stride : none, kHead * sizeof(Half));
  }
}

// ROWS rows [ROWS, stride], each number twice, times 64 columns [inputs, 64]; give(row, left sums, right sums).
template <int ROWS, class Give>
inline __attribute__((always_inline)) void tile(const uint32_t* rows, int64_t stride, int64_t inputs,
                                                const Half* columns, Give&& give) {
  __m512h sums[ROWS][2];
  for (int row = 0; row < ROWS; ++row) sums[row][0] = sums[row][1] = _mm512_setzero_ph();
  for (int64_t at = 0; at < inputs; ++at, columns += kColumns) {
    const __m512h left = load_halves(columns), right = load_halves(columns + kHalves);
#pragma GCC unroll 12
    for (int row = 0; row < ROWS; ++row) {
      const __m512h shared = _mm512_castsi512_ph(_mm512_set1_epi32(static_cast<int>(rows[row * stride + at])));
      add_products(sums[row][0], shared, left);
      add_products(sums[row][1], shared, right);
    }
  }
#pragma GCC unroll 12
  for (int row = 0; row < ROWS; ++row) give(row, sums[row][0], sums[row][1]);
}

// Softmax of one row of scores but for the division by what is returned, the sum.
inline float weigh(const Half* scores, int64_t full, uint32_t* weights) {
  __m512h most = _mm512_set1_ph(static_cast<Half>(-65504.0f));
  for (int64_t key = 0; key < full; key += kHalves) most = _mm512_max_ph(most, load_halves(scores + key));
  const Floats largest = floats(static_cast<float>(_mm512_reduce_max_ph(most)));
  Floats total = floats(0.0f);
  for (int64_t key = 0; key < full; key += kHalves) {
    const __m512h both = load_halves(scores + key);
    for (int half = 0; half < 2; ++half) {
      const Floats weight = exp2(sub(widened(both, half), largest));
      total = add(total, weight);
      const __m512i bits = _mm512_cvtepu16_epi32(_mm256_castph_si256(_mm512_cvtxps_ph(weight)));
      _mm512_storeu_si512(weights + key + half * kLanes, _mm512_or_si512(bits, _mm512_slli_epi32(bits, 16)));
    }
  }
  return sum_of(total);
}

// ROWS queries [ROWS, 64], each number twice, attend to all of a packed head, to ``to`` [ROWS, to_stride].
template <int ROWS>
void attend_rows(const uint32_t* queries, const Half* packed, Positions positions, float* to, int64_t to_stride) {
  thread_local Buffer<Half> scores(kRows * filled_halves(kPositions));
  thread_local Buffer<uint32_t> weights(kRows * filled_halves(kPositions));
  const int64_t full = filled_halves(positions.length);
  for (int64_t key = 0; key < full; key += kColumns) {
    tile<ROWS>(queries, kHead, kHead, packed + key * kHead, [&](int row, __m512h left, __m512h right) {
      Half* own = scores.get() + row * full + key;
      _mm512_storeu_ph(own, left);
      _mm512_storeu_ph(own + kHalves, right);
    });
  }
  float totals[ROWS];
  for (int row = 0; row < ROWS; ++row) {
    Half* own = scores.get() + row * full;
    finish_scores(own, full, positions, static_cast<Half>(-65504.0f));
    totals[row] = weigh(own, full, weights.get() + row * full);
    std::fill_n(to + row * to_stride, kHead, 0.0f);
  }
  for (int64_t key = 0; key < full; key += kSummed) {
    tile<ROWS>(weights.get() + key, full, kSummed, packed + (full + key) * kHead,
               [&](int row, __m512h left, __m512h right) {
                 const Floats parts[] = {widened(left, 0), widened(left, 1), widened(right, 0), widened(right, 1)};
                 float* own = to + row * to_stride;
                 for (int part = 0; part < 4; ++part, own += kLanes) store(own, add(load(own), parts[part]));
               });
  }
  for (int row = 0; row < ROWS; ++row) {
    const Floats share = floats(1.0f / totals[row]);
    float* own = to + row * to_stride;
    for (int part = 0; part < 4; ++part, own += kLanes) store(own, mul(load(own), share));
  }
}

// Queries [rows, stride] of one head, in powers of two, attend to all of a packed head.
template <>
inline void attend<Half>(const Half* queries, int64_t stride, int64_t rows, const Half* packed, Positions positions,
                         float* to, int64_t to_stride) {
  uint32_t twofold[kRows * kHead];
  for (int64_t from = 0; from < rows; from += kRows) {
    const int64_t count = std::min<int64_t>(kRows, rows - from);
    for (int64_t at = 0; at < count * kHead; ++at) {
      twofold[at] = twice(queries[(from + at / kHead) * stride + at % kHead]);
    }
    with_rows(static_cast<int>(count), [&](auto constant) {
      attend_rows<decltype(constant)::value>(twofold, packed, positions, to + from * to_stride, to_stride);
    });
  }
}

}  // namespace ttscribe
