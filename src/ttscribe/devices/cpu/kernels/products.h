// Products of matrices: weights in 8 bits, scaled by output; activations in 8 or 16 bits, scaled by row as they come.
//
// x = step * (u - zero) with u from 0 to 255 (127 without VNNI or I8MM), w = scale * q with q from -127 to 127, so that
// sum(x w) = step * scale * (sum(u q) - zero * sum(q)), where the last sum is known beforehand. 16 bits are two parts
// of 8, the high one with the zero: where a few rows wait for the weights to arrive, the second part costs no time.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "pool.h"
#include "vectors.h"

namespace ttscribe {

inline constexpr int kPanel = 32;         // outputs of a panel: two times sixteen sums
inline constexpr int kUnit = 1 << kBits;  // of the high part of an activation in two
inline constexpr int kAhead = 8192;       // bytes of weights that are asked for before they are multiplied
inline constexpr int kChunk = 96;         // rows whose activations stay in a core's own cache while panels go by

// A panel's weights of four inputs, four bytes to each of its first 16 outputs, and of the others.
struct Sides {
  Ints left, right;
};

// The weights of a panel [inputs / 4, 32, 4], a byte each.
struct Bytes {
  const int8_t* panel;

  Sides at(int64_t input) const { return {load_ints(panel + input * kPanel), load_ints(panel + input * kPanel + 64)}; }
  void ask_ahead(int64_t input) const {
    __builtin_prefetch(panel + input * kPanel + kAhead);
    __builtin_prefetch(panel + input * kPanel + kAhead + 64);
  }
};

// Weights [outputs, inputs] in panels [outputs / 32, inputs / 4, 32, 4], filled up with zeros.
struct Linear {
  const int8_t* weight;
  const float* scale;   // [outputs, filled up to panels]
  const int32_t* sums;  // [outputs, filled up to panels]: of q over the inputs
  const float* bias;    // [outputs, filled up to panels]
  int64_t outputs, inputs;

  Bytes panel(int64_t index) const { return {weight + index * kPanel * inputs}; }
  Ints sums_at(int64_t output) const { return load_ints(sums + output); }
  Floats bias_at(int64_t output) const { return load(bias + output); }
};

// The weights of a panel in halves of 4 bits [inputs / 4, 16, 4]: a byte has that of an output and, above it, that of the
// output 16 further. Without their lower halves they are multiples of 16.
template <bool WHOLE>
struct Halves {
  const uint8_t *upper, *lower;

  Sides at(int64_t input) const {
    const Ints kept = ints(-0x0F0F0F10), added = ints(0x0F0F0F0F), high = load_ints(upper + input * kPanel / 2);
    const Sides multiples{bits_and(shifted_left<4>(high), kept), bits_and(high, kept)};
    if constexpr (!WHOLE) return multiples;
    const Ints low = load_ints(lower + input * kPanel / 2);
    return {add(multiples.left, bits_and(low, added)),
            add(multiples.right, bits_and(shifted_right<4>(low), added))};
  }
  void ask_ahead(int64_t input) const {
    __builtin_prefetch(upper + input * kPanel / 2 + kAhead);
    if constexpr (WHOLE) __builtin_prefetch(lower + input * kPanel / 2 + kAhead);
  }
};

// A product without bias whose weights' upper halves can be read alone: the panels of all outputs in upper halves, and
// then in lower ones.
struct Halved {
  const uint8_t* weight;
  const float* scale;         // [outputs]
  const int32_t* sums;        // [outputs]: of q over the inputs
  const int32_t* upper_sums;  // [outputs]: of q without its lower half
  int64_t outputs, inputs;    // outputs are filled up to panels
};

// Its weights as a product takes them: in whole, or the upper halves.
template <bool WHOLE>
struct Part : Halved {
  Halves<WHOLE> panel(int64_t index) const {
    const uint8_t* upper = weight + index * kPanel * inputs / 2;
    return {upper, upper + outputs * inputs / 2};
  }
  Ints sums_at(int64_t output) const { return load_ints((WHOLE ? sums : upper_sums) + output); }
  Floats bias_at(int64_t) const { return floats(0.0f); }
};

struct Norm {
  const float *weight, *bias;
};

inline int64_t rounded_up(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

// Memory that is not filled, on a boundary of a cache line.
template <class T>
class Buffer {
 public:
  explicit Buffer(int64_t count) : data_(static_cast<T*>(std::aligned_alloc(64, rounded_up(count * sizeof(T), 64)))) {
    if (!data_) throw std::bad_alloc();
  }
  T* get() { return data_.get(); }
  const T* get() const { return data_.get(); }

 private:
  std::unique_ptr<T, Free> data_;
};

// Sixteen bytes, by four of them a stride apart.
inline void store_fours(uint8_t* to, int64_t stride, Ints values) {
  uint8_t all[16];
  store_bytes(all, values);
  for (int four = 0; four < 4; ++four) std::memcpy(to + four * stride, all + 4 * four, 4);
}

// One row of floats to PARTS times kBits bits, by its own least and largest value; each four go a stride further.
template <int PARTS, class T>
void quantise_row(const T* row, int64_t count, uint8_t* values, int64_t stride, float* step, int32_t* zero) {
  Floats least = floats(0.0f), most = floats(0.0f);
  for (int64_t at = 0; at < count; at += kLanes) {
    const Floats x = load(row + at);
    least = min(least, x);
    most = max(most, x);
  }
  const float low = least_of(least), high = largest_of(most);
  // Of two parts the zero is a multiple of the high one's unit, for which there is room of as much.
  *step = std::max(high - low, 1e-30f) / (PARTS == 1 ? kUnit - 1 : kUnit * (kUnit - 1) - 1);
  *zero = static_cast<int32_t>(PARTS == 1 ? std::lrint(-low / *step) : std::ceil(-low / *step / kUnit));
  const Floats inverse = floats(1.0f / *step);
  const Ints shift = ints(PARTS == 1 ? *zero : *zero * kUnit), none = ints(0), most_of_all = ints(kUnit - 1);
  for (int64_t at = 0; at < count; at += kLanes) {
    const Ints whole = to_ints(mul(load(row + at), inverse));
    const Ints above = max(add(whole, shift), none);
    uint8_t* to = values + at / 4 * stride;
    if constexpr (PARTS == 1) {
      store_fours(to, stride, min(above, most_of_all));
    } else {
      store_fours(to, stride, shifted_right<kBits>(above));
      store_fours(to + 4, stride, bits_and(above, most_of_all));
    }
  }
}

// Activations in PARTS times 8 bits, high ones first, in blocks of kRows / PARTS rows, of which the last may have
// fewer: [inputs / 4, rows of the block, PARTS, 4], so that a product reads one sequence.
template <int PARTS>
struct Quantised {
  Quantised(int64_t rows, int64_t inputs)
      : values(rows * PARTS * inputs), steps(rows), zeros(rows), rows(rows), inputs(inputs) {}
  static constexpr int64_t kBlock = kRows / PARTS;

  // The bytes of the block that begins at a row.
  uint8_t* block(int64_t row) { return values.get() + row * PARTS * inputs; }
  const uint8_t* block(int64_t row) const { return values.get() + row * PARTS * inputs; }

  // Converts one row, by its own least and largest value.
  template <class T>
  void set(int64_t row, const T* from) {
    const int64_t first = row / kBlock * kBlock, stride = std::min(kBlock, rows - first) * PARTS * 4;
    quantise_row<PARTS>(from, inputs, block(first) + (row - first) * PARTS * 4, stride, steps.get() + row,
                        zeros.get() + row);
  }

  Buffer<uint8_t> values;
  Buffer<float> steps;
  Buffer<int32_t> zeros;
  const int64_t rows, inputs;
};

inline float sum_of(const float* row, int64_t count) {
  Floats total = floats(0.0f);
  for (int64_t at = 0; at < count; at += kLanes) total = add(total, load(row + at));
  return sum_of(total);
}

// The square root of the sum of all squares.
inline float length_of(const float* row, int64_t count) {
  Floats squares = floats(0.0f);
  for (int64_t at = 0; at < count; at += kLanes) squares = fma(load(row + at), load(row + at), squares);
  return std::sqrt(sum_of(squares));
}

// PyTorch's layer norm of one row, with its epsilon.
inline void normalise_row(const float* row, int64_t count, const Norm& norm, float* to) {
  const Floats mean = floats(sum_of(row, count) / count);
  Floats squares = floats(0.0f);
  for (int64_t at = 0; at < count; at += kLanes) {
    const Floats x = sub(load(row + at), mean);
    squares = fma(x, x, squares);
  }
  const Floats inverse = floats(1.0f / std::sqrt(sum_of(squares) / count + 1e-5f));
  for (int64_t at = 0; at < count; at += kLanes) {
    const Floats x = mul(sub(load(row + at), mean), inverse);
    store(to + at, fma(x, load(norm.weight + at), load(norm.bias + at)));
  }
}

inline int64_t chunks(int64_t rows, int64_t chunk) { return (rows + chunk - 1) / chunk; }

template <class Row>
void each_row(Team& team, int64_t rows, Row&& row) {
  constexpr int64_t kTogether = 16;
  team.run(chunks(rows, kTogether), [&](int64_t task) {
    const int64_t end = std::min(rows, (task + 1) * kTogether);
    for (int64_t at = task * kTogether; at < end; ++at) row(at);
  });
}

// Rows of so many inputs, each of which begins ``stride`` after the one before.
template <int PARTS, class T>
Quantised<PARTS> quantised(Team& team, const T* from, int64_t rows, int64_t inputs, int64_t stride) {
  Quantised<PARTS> to(rows, inputs);
  each_row(team, rows, [&](int64_t row) { to.set(row, from + row * stride); });
  return to;
}

template <int PARTS, class T>
Quantised<PARTS> quantised(Team& team, const T* from, int64_t rows, int64_t inputs) {
  return quantised<PARTS>(team, from, rows, inputs, inputs);
}

template <int PARTS>
Quantised<PARTS> normalised(Team& team, const float* from, int64_t rows, int64_t inputs, const Norm& norm) {
  Quantised<PARTS> to(rows, inputs);
  each_row(team, rows, [&](int64_t row) {
    Buffer<float> whole(inputs);
    normalise_row(from + row * inputs, inputs, norm, whole.get());
    to.set(row, whole.get());
  });
  return to;
}

// A block of ROWS rows times one panel, to the 16 sums of each part for each half of it: [ROWS, 2, PARTS]. On its own, for
// within a larger function GCC 12 keeps sums in memory.
template <int ROWS, int PARTS, class Panel>
__attribute__((noinline)) void tile(const uint8_t* rows, int64_t inputs, Panel panel, Ints* to) {
  Ints sums[ROWS][2][PARTS];
#pragma GCC unroll 12
  for (int row = 0; row < ROWS; ++row) {
    for (int part = 0; part < PARTS; ++part) sums[row][0][part] = sums[row][1][part] = ints(0);
  }
  for (int64_t at = 0; at < inputs; at += 4) {
    // In two parts is multiplied where weights are waited for: asked for so early, they come a quarter faster.
    if constexpr (PARTS == 2) panel.ask_ahead(at);
    const Sides sides = panel.at(at);
#pragma GCC unroll 12
    for (int row = 0; row < ROWS; ++row) {
#pragma GCC unroll 2
      for (int part = 0; part < PARTS; ++part) {
        int32_t four;
        __builtin_memcpy(&four, rows + at * ROWS * PARTS + (row * PARTS + part) * 4, 4);
        const Ints shared = ints(four);
        add_products(sums[row][0][part], shared, sides.left);
        add_products(sums[row][1][part], shared, sides.right);
      }
    }
  }
#pragma GCC unroll 12
  for (int row = 0; row < ROWS; ++row) {
    for (int half = 0; half < 2; ++half) {
      for (int part = 0; part < PARTS; ++part) to[(row * 2 + half) * PARTS + part] = sums[row][half][part];
    }
  }
}

template <class Call, int... COUNTS>
inline __attribute__((always_inline)) void dispatched(int count, Call&& call, std::integer_sequence<int, COUNTS...>) {
  (void)((count == COUNTS + 1 && (call(std::integral_constant<int, COUNTS + 1>{}), true)) || ...);
}

// call(N) with N a constant from 1 to MOST: loops over it are unrolled, and sums stay in registers.
template <int MOST = kRows, class Call>
inline __attribute__((always_inline)) void with_rows(int count, Call&& call) {
  dispatched(count, call, std::make_integer_sequence<int, MOST>{});
}

// Rows from ``first`` to ``end``, where a block begins and one ends, times one panel.
// give(row, output, values) takes 16 results of a row from ``output`` on, bias added; beyond the outputs they are zero.
template <int PARTS, class Layer, class Give>
void multiply_panel(const Quantised<PARTS>& input, int64_t first, int64_t end, const Layer& layer, int64_t panel,
                    Give&& give) {
  constexpr int kTogether = Quantised<PARTS>::kBlock;
  auto finished = [&](int64_t row, int64_t output, const Ints* sums) {
    const Ints known = mul(ints(input.zeros.get()[row]), layer.sums_at(output));
    Floats product = to_floats(sub(sums[0], known));
    if constexpr (PARTS == 2) product = fma(product, floats(kUnit), to_floats(sums[1]));
    const Floats scale = mul(floats(input.steps.get()[row]), load(layer.scale + output));
    give(row, output, fma(product, scale, layer.bias_at(output)));
  };
  for (int64_t from = first; from < end; from += kTogether) {
    with_rows<kTogether>(static_cast<int>(std::min<int64_t>(kTogether, end - from)), [&](auto count) {
      constexpr int kCount = decltype(count)::value;
      Ints sums[kCount * 2 * PARTS];
      tile<kCount, PARTS>(input.block(from), layer.inputs, layer.panel(panel), sums);
      for (int row = 0; row < kCount; ++row) {
        for (int half = 0; half < 2; ++half) {
          finished(from + row, panel * kPanel + half * kLanes, sums + (row * 2 + half) * PARTS);
        }
      }
    });
  }
}

// All rows times all panels; ``give`` as above.
template <int PARTS, class Layer, class Give>
void multiply(Team& team, const Quantised<PARTS>& input, const Layer& layer, Give&& give) {
  // A few rows only wait for the weights, which come fastest in a long sequence.
  const int64_t panels = chunks(layer.outputs, kPanel), together = input.rows > kRows ? 1 : 4;
  const int64_t groups = chunks(panels, together);
  team.run(chunks(input.rows, kChunk) * groups, [&](int64_t task) {
    const int64_t first = task / groups * kChunk, group = task % groups * together;
    for (int64_t panel = group; panel < std::min(panels, group + together); ++panel) {
      multiply_panel(input, first, std::min(input.rows, first + kChunk), layer, panel, give);
    }
  });
}

}  // namespace ttscribe
