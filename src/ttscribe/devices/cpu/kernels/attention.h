// Attention of heads of 64 with products in bfloat16, summed in float32.

#pragma once

#include "products.h"

namespace ttscribe {

inline constexpr int kHead = 64;                       // width of a head, in every published Whisper
inline constexpr int kPositions = 1500, kSlots = 448;  // the most that there is room for
inline constexpr int kKeys = 32;                       // keys that scores are taken of at a time: two registers of sums

// Scores are divided by the root of 64, and exponentials are powers of two.
inline constexpr float kQueryScale = 0.125f * 1.44269504f;

// Keys and values of one head as the products read them, filled up to a multiple of 32 keys:
// keys [length / 16, 32, 16, 2] and values [length / 2, 64, 2], pairs of what is summed beside each other.
inline int64_t filled(int64_t length) { return rounded_up(length, kKeys); }

// Elements of a packed head.
template <class Element>
int64_t packed_head(int64_t length);

template <>
inline int64_t packed_head<Bf16>(int64_t length) {
  return 2 * filled(length) * kHead;
}

// A head of keys and values, [length, stride] in bfloat16, to be packed.
inline void pack_head(const Bf16* keys, const Bf16* values, int64_t stride, int64_t length, Bf16* to) {
  const int64_t full = filled(length);
  const Bf16 none[kHead] = {};
  for (int64_t key = 0; key < full; ++key) {
    const Bf16* from = key < length ? keys + key * stride : none;
    Bf16* block = to + key / kLanes * kLanes * kHead + key % kLanes * 2;
    for (int at = 0; at < kHead; at += 2) std::memcpy(block + at * kLanes, from + at, 2 * sizeof(Bf16));
  }
  Bf16* pairs_of_values = to + full * kHead;
  for (int64_t key = 0; key < full; key += 2) {
    const Bf16* first = key < length ? values + key * stride : none;
    const Bf16* second = key + 1 < length ? values + (key + 1) * stride : none;
    Bf16* pair = pairs_of_values + key * kHead;
    for (int at = 0; at < kHead; ++at) {
      pair[2 * at] = first[at];
      pair[2 * at + 1] = second[at];
    }
  }
}

// ROWS rows [ROWS, stride] of bfloat16 times 32 columns: of every two inputs the pairs of 16 columns lie at ``left``
// and at
// ``right``, those of the next two a step further. give(row, left sums, right sums) takes the results of each row.
template <int ROWS, class Give>
inline __attribute__((always_inline)) void tile(const Bf16* rows, int64_t stride, int64_t inputs, const Bf16* left,
                                                const Bf16* right, int64_t step, Give&& give) {
  __m512 sums[ROWS][2];
  for (int row = 0; row < ROWS; ++row) sums[row][0] = sums[row][1] = _mm512_setzero_ps();
  for (int64_t at = 0; at < inputs; at += 2, left += step, right += step) {
    const Pairs first = load_pairs(left), second = load_pairs(right);
#pragma GCC unroll 12
    for (int row = 0; row < ROWS; ++row) {
      const Pairs both = pairs(rows + row * stride + at);
      add_products(sums[row][0], first, both);
      add_products(sums[row][1], second, both);
    }
  }
#pragma GCC unroll 12
  for (int row = 0; row < ROWS; ++row) give(row, sums[row][0], sums[row][1]);
}

// Scores of ROWS queries, which are in powers of two, with every key; beyond the length they are very small.
template <int ROWS>
void score(const Bf16* queries, int64_t stride, const Bf16* keys, int64_t length, float* scores) {
  const int64_t full = filled(length);
  for (int64_t key = 0; key < full; key += kKeys) {
    const Bf16* block = keys + key * kHead;
    tile<ROWS>(queries, stride, kHead, block, block + kLanes * kHead, 2 * kLanes,
               [&](int row, __m512 left, __m512 right) {
                 store(scores + row * full + key, left);
                 store(scores + row * full + key + kLanes, right);
               });
  }
  for (int row = 0; row < ROWS; ++row) std::fill(scores + row * full + length, scores + (row + 1) * full, -1e30f);
}

// Softmax of one row of scores but for the division by what is returned, the sum.
inline float weigh(const float* scores, int64_t full, Bf16* weights) {
  __m512 most = _mm512_set1_ps(-1e30f), total = _mm512_setzero_ps();
  for (int64_t key = 0; key < full; key += kLanes) most = _mm512_max_ps(most, load(scores + key));
  most = _mm512_set1_ps(_mm512_reduce_max_ps(most));
  for (int64_t key = 0; key < full; key += kLanes) {
    const __m512 weight = exp2(_mm512_sub_ps(load(scores + key), most));
    total = _mm512_add_ps(total, weight);
    store(weights + key, weight);
  }
  return _mm512_reduce_add_ps(total);
}

// Sums of values by ROWS rows of weights, each divided by its total, to ``to`` [ROWS, to_stride].
template <int ROWS>
void mix(const Bf16* weights, int64_t full, const Bf16* values, const float* totals, float* to, int64_t to_stride) {
  for (int half = 0; half < kHead; half += 2 * kLanes) {
    const Bf16* columns = values + 2 * half;
    tile<ROWS>(weights, full, full, columns, columns + 2 * kLanes, 2 * kHead, [&](int row, __m512 left, __m512 right) {
      const __m512 share = _mm512_set1_ps(1.0f / totals[row]);
      store(to + row * to_stride + half, _mm512_mul_ps(left, share));
      store(to + row * to_stride + half + kLanes, _mm512_mul_ps(right, share));
    });
  }
}

// Queries [rows, stride] of one head, in bfloat16 and in powers of two, attend to all of a packed head.
inline void attend(const Bf16* queries, int64_t stride, int64_t rows, const Bf16* packed, int64_t length, float* to,
                   int64_t to_stride) {
  const int64_t full = filled(length);
  thread_local Buffer<float> scores(kRows * filled(kPositions));
  thread_local Buffer<Bf16> weights(kRows * filled(kPositions));
  for (int64_t from = 0; from < rows; from += kRows) {
    with_rows(static_cast<int>(std::min<int64_t>(kRows, rows - from)), [&](auto count) {
      constexpr int kCount = decltype(count)::value;
      float totals[kCount];
      score<kCount>(queries + from * stride, stride, packed, length, scores.get());
      for (int row = 0; row < kCount; ++row) {
        totals[row] = weigh(scores.get() + row * full, full, weights.get() + row * full);
      }
      mix<kCount>(weights.get(), full, packed + full * kHead, totals, to + from * to_stride, to_stride);
    });
  }
}

// One query of a head, float32, attends to the first ``length`` slots of a cache [slots, 64].
inline void attend_cached(const float* query, const float* keys, const float* values, int64_t length, float* to) {
  thread_local Buffer<float> scores(kSlots);
  __m512 parts[4], sums[4];
  for (int part = 0; part < 4; ++part) {
    parts[part] = _mm512_mul_ps(load(query + part * kLanes), _mm512_set1_ps(kQueryScale));
    sums[part] = _mm512_setzero_ps();
  }
  float most = -1e30f, total = 0;
  for (int64_t key = 0; key < length; ++key) {
    __m512 products = _mm512_mul_ps(parts[0], load(keys + key * kHead));
    for (int part = 1; part < 4; ++part) {
      products = _mm512_fmadd_ps(parts[part], load(keys + key * kHead + part * kLanes), products);
    }
    scores.get()[key] = _mm512_reduce_add_ps(products);
    most = std::max(most, scores.get()[key]);
  }
  for (int64_t key = 0; key < length; ++key) {
    const float weight = std::exp2(scores.get()[key] - most);
    total += weight;
    for (int part = 0; part < 4; ++part) {
      sums[part] = _mm512_fmadd_ps(_mm512_set1_ps(weight), load(values + key * kHead + part * kLanes), sums[part]);
    }
  }
  for (int part = 0; part < 4; ++part) {
    store(to + part * kLanes, _mm512_mul_ps(sums[part], _mm512_set1_ps(1.0f / total)));
  }
}

}  // namespace ttscribe
