// Attention of heads of 64, summed in float32. What is multiplied are floats, or bfloat16 by two of them in each lane:
// half the memory, and faster where the CPU has such products.

#pragma once

#include "products.h"

namespace ttscribe {

inline constexpr int kHead = 64;                       // width of a head, in every published Whisper
inline constexpr int kPositions = 1500, kSlots = 448;  // the most that there is room for
inline constexpr int kKeys = 32;                       // keys that scores are taken of at a time: two registers of sums

// A window's positions. Beyond the first ``single`` each stands for four of silence, and is attended to as often.
struct Positions {
  int64_t length, single;
};

inline constexpr float kCondensed = 2;  // how much more the score is of what counts four times: a power of two

// Scores are divided by the root of 64, and exponentials are powers of two.
inline constexpr float kQueryScale = 0.125f * 1.44269504f;

// How many numbers of a kind are multiplied in each lane.
template <class Element>
inline constexpr int kNeighbours = 1;
template <>
inline constexpr int kNeighbours<Bf16> = 2;

inline Floats load_operand(const float* from) { return load(from); }
inline Pairs load_operand(const Bf16* from) { return load_pairs(from); }

// The same for every lane.
inline Floats same_operand(const float* from) { return floats(*from); }
inline Pairs same_operand(const Bf16* from) { return pairs(from); }

// Keys and values of one head as the products read them, filled up to a multiple of 32 keys: keys [length / 16,
// 64 / neighbours, 16, neighbours] and values [length / neighbours, 64, neighbours], neighbours being what is summed.
inline int64_t filled(int64_t length) { return rounded_up(length, kKeys); }

// Elements of a packed head.
template <class Element>
int64_t packed_head(int64_t length) {
  return 2 * filled(length) * kHead;
}

// A head of keys and values, [length, stride], to be packed.
template <class Element>
void pack_head(const Element* keys, const Element* values, int64_t stride, int64_t length, Element* to) {
  constexpr int kNext = kNeighbours<Element>;
  const int64_t full = filled(length);
  const Element none[kHead] = {};
  for (int64_t key = 0; key < full; ++key) {
    const Element* from = key < length ? keys + key * stride : none;
    Element* block = to + key / kLanes * kLanes * kHead + key % kLanes * kNext;
    for (int at = 0; at < kHead; at += kNext) std::memcpy(block + at * kLanes, from + at, kNext * sizeof(Element));
    const Element* value = key < length ? values + key * stride : none;
    Element* row = to + (full + key / kNext * kNext) * kHead + key % kNext;
    for (int at = 0; at < kHead; ++at) row[at * kNext] = value[at];
  }
}

// ROWS rows [ROWS, stride] times 32 columns: of each input, or of each two, 16 columns lie at ``left`` and 16 at
// ``right``, those of the next a step further. give(row, left sums, right sums) takes the results of each row.
template <int ROWS, class Element, class Give>
inline __attribute__((always_inline)) void tile(const Element* rows, int64_t stride, int64_t inputs,
                                                const Element* left, const Element* right, int64_t step, Give&& give) {
  Floats sums[ROWS][2];
  for (int row = 0; row < ROWS; ++row) sums[row][0] = sums[row][1] = floats(0.0f);
  for (int64_t at = 0; at < inputs; at += kNeighbours<Element>, left += step, right += step) {
    const auto first = load_operand(left), second = load_operand(right);
#pragma GCC unroll 12
    for (int row = 0; row < ROWS; ++row) {
      const auto shared = same_operand(rows + row * stride + at);
      add_products(sums[row][0], first, shared);
      add_products(sums[row][1], second, shared);
    }
  }
#pragma GCC unroll 12
  for (int row = 0; row < ROWS; ++row) give(row, sums[row][0], sums[row][1]);
}

// Of one row of scores those of condensed positions, and of what is beyond the last.
template <class Score>
void finish_scores(Score* scores, int64_t full, Positions positions, Score least) {
  for (int64_t key = positions.single; key < positions.length; ++key) scores[key] += static_cast<Score>(kCondensed);
  std::fill(scores + positions.length, scores + full, least);
}

// Scores of ROWS queries, which are in powers of two, with every key; beyond the length they are very small.
template <int ROWS, class Element>
void score(const Element* queries, int64_t stride, const Element* keys, Positions positions, float* scores) {
  const int64_t full = filled(positions.length);
  for (int64_t key = 0; key < full; key += kKeys) {
    const Element* block = keys + key * kHead;
    tile<ROWS>(queries, stride, kHead, block, block + kLanes * kHead, kNeighbours<Element> * kLanes,
               [&](int row, Floats left, Floats right) {
                 store(scores + row * full + key, left);
                 store(scores + row * full + key + kLanes, right);
               });
  }
  for (int row = 0; row < ROWS; ++row) finish_scores(scores + row * full, full, positions, -1e30f);
}

// Softmax of one row of scores but for the division by what is returned, the sum.
template <class Element>
float weigh(const float* scores, int64_t full, Element* weights) {
  Floats most = floats(-1e30f), total = floats(0.0f);
  for (int64_t key = 0; key < full; key += kLanes) most = max(most, load(scores + key));
  most = floats(largest_of(most));
  for (int64_t key = 0; key < full; key += kLanes) {
    const Floats weight = exp2(sub(load(scores + key), most));
    total = add(total, weight);
    store(weights + key, weight);
  }
  return sum_of(total);
}

// Sums of values by ROWS rows of weights, each divided by its total, to ``to`` [ROWS, to_stride].
template <int ROWS, class Element>
void mix(const Element* weights, int64_t full, const Element* values, const float* totals, float* to,
         int64_t to_stride) {
  constexpr int kNext = kNeighbours<Element>;
  for (int half = 0; half < kHead; half += 2 * kLanes) {
    const Element* columns = values + kNext * half;
    tile<ROWS>(weights, full, full, columns, columns + kNext * kLanes, kNext * kHead,
               [&](int row, Floats left, Floats right) {
                 const Floats share = floats(1.0f / totals[row]);
                 store(to + row * to_stride + half, mul(left, share));
                 store(to + row * to_stride + half + kLanes, mul(right, share));
               });
  }
}

// Queries [rows, stride] of one head, in powers of two, attend to all of a packed head.
template <class Element>
void attend(const Element* queries, int64_t stride, int64_t rows, const Element* packed, Positions positions,
            float* to, int64_t to_stride) {
  const int64_t full = filled(positions.length);
  thread_local Buffer<float> scores(kRows * filled(kPositions));
  thread_local Buffer<Element> weights(kRows * filled(kPositions));
  for (int64_t from = 0; from < rows; from += kRows) {
    with_rows(static_cast<int>(std::min<int64_t>(kRows, rows - from)), [&](auto count) {
      constexpr int kCount = decltype(count)::value;
      float totals[kCount];
      score<kCount>(queries + from * stride, stride, packed, positions, scores.get());
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
  Floats parts[4], sums[4];
  for (int part = 0; part < 4; ++part) {
    parts[part] = mul(load(query + part * kLanes), floats(kQueryScale));
    sums[part] = floats(0.0f);
  }
  float most = -1e30f, total = 0;
  for (int64_t key = 0; key < length; ++key) {
    Floats products = mul(parts[0], load(keys + key * kHead));
    for (int part = 1; part < 4; ++part) {
      products = fma(parts[part], load(keys + key * kHead + part * kLanes), products);
    }
    scores.get()[key] = sum_of(products);
    most = std::max(most, scores.get()[key]);
  }
  for (int64_t key = 0; key < length; ++key) {
    const float weight = std::exp2(scores.get()[key] - most);
    total += weight;
    for (int part = 0; part < 4; ++part) {
      sums[part] = fma(floats(weight), load(values + key * kHead + part * kLanes), sums[part]);
    }
  }
  for (int part = 0; part < 4; ++part) {
    store(to + part * kLanes, mul(sums[part], floats(1.0f / total)));
  }
}

}  // namespace ttscribe
