// Log-mel power of sound: a Fourier transform of 400 samples, of sixteen frames side by side in the lanes.
//
// 400 real samples are 200 complex numbers, the even samples their real parts: a transform of these by factors 8, 5 and
// 5 gives the spectra of both, which a last step joins.

#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <numbers>
#include <utility>
#include <vector>

#include "pool.h"
#include "vectors.h"

namespace ttscribe {

inline constexpr int kFrame = 400, kHop = 160;        // samples in a frame, and from one to the next
inline constexpr int kHalfFrame = kFrame / 2;         // complex numbers that are transformed
inline constexpr int kFrequencies = kHalfFrame + 1;   // from 0 Hz to half the sampling rate

struct Complex {
  Floats real, imaginary;
};

inline Complex add(Complex a, Complex b) { return {add(a.real, b.real), add(a.imaginary, b.imaginary)}; }
inline Complex sub(Complex a, Complex b) { return {sub(a.real, b.real), sub(a.imaginary, b.imaginary)}; }
inline Complex mul(Complex a, float b) { return {mul(a.real, floats(b)), mul(a.imaginary, floats(b))}; }
inline Complex fma(Complex a, float b, Complex c) {
  return {fma(a.real, floats(b), c.real), fma(a.imaginary, floats(b), c.imaginary)};
}
// a - i b, and a + i b.
inline Complex sub_turned(Complex a, Complex b) { return {add(a.real, b.imaginary), sub(a.imaginary, b.real)}; }
inline Complex add_turned(Complex a, Complex b) { return {sub(a.real, b.imaginary), add(a.imaginary, b.real)}; }

// The whole circle in 400 steps, and the periodic Hann window, halved for the last step of the transform.
struct Circle {
  Circle() {
    for (int at = 0; at < kFrame; ++at) {
      const double angle = 2 * std::numbers::pi * at / kFrame;
      cosine[at] = static_cast<float>(std::cos(angle));
      sine[at] = static_cast<float>(std::sin(angle));
      window[at] = static_cast<float>(0.25 - 0.25 * std::cos(angle));
    }
  }
  std::array<float, kFrame> cosine, sine, window;
};

inline const Circle kCircle;

// a, turned back by so many steps of the circle.
inline Complex turned_back(Complex a, int steps) {
  const Floats cosine = floats(kCircle.cosine[steps]), sine = floats(kCircle.sine[steps]);
  return {fma(a.imaginary, sine, mul(a.real, cosine)), sub(mul(a.imaginary, cosine), mul(a.real, sine))};
}

// Fourier transforms in place.
inline void transform(std::array<Complex, 5>& a) {
  constexpr float kCosine1 = 0.30901699f, kCosine2 = -0.80901699f, kSine1 = 0.95105652f, kSine2 = 0.58778525f;
  const Complex outer = add(a[1], a[4]), inner = add(a[2], a[3]), across = sub(a[1], a[4]), between = sub(a[2], a[3]);
  const Complex first = fma(inner, kCosine2, fma(outer, kCosine1, a[0]));
  const Complex second = fma(inner, kCosine1, fma(outer, kCosine2, a[0]));
  const Complex first_turn = fma(between, kSine2, mul(across, kSine1));
  const Complex second_turn = fma(between, -kSine1, mul(across, kSine2));
  a = {add(a[0], add(outer, inner)), sub_turned(first, first_turn), sub_turned(second, second_turn),
       add_turned(second, second_turn), add_turned(first, first_turn)};
}

inline void transform(std::array<Complex, 8>& a) {
  // The even and the odd ones by four.
  auto by_four = [](Complex a, Complex b, Complex c, Complex d) {
    const Complex even = add(a, c), odd = add(b, d), even_rest = sub(a, c), odd_rest = sub(b, d);
    return std::array<Complex, 4>{add(even, odd), sub_turned(even_rest, odd_rest), sub(even, odd),
                                  add_turned(even_rest, odd_rest)};
  };
  const auto even = by_four(a[0], a[2], a[4], a[6]), odd = by_four(a[1], a[3], a[5], a[7]);
  constexpr float kDiagonal = 0.70710678f;
  const Complex first = mul(sub_turned(odd[1], odd[1]), kDiagonal), third = mul(add_turned(odd[3], odd[3]), -kDiagonal);
  a = {add(even[0], odd[0]), add(even[1], first), sub_turned(even[2], odd[2]), add(even[3], third),
       sub(even[0], odd[0]), sub(even[1], first), add_turned(even[2], odd[2]), sub(even[3], third)};
}

// One factor of the transform of 200 numbers (Stockham's, which leaves them in order): ``done`` is the product of the
// factors before it.
template <int FACTOR>
void stage(const Complex* from, int done, Complex* to) {
  const int left = kHalfFrame / done / FACTOR;
  for (int part = 0; part < left; ++part) {
    for (int at = 0; at < done; ++at) {
      std::array<Complex, FACTOR> all;
      for (int each = 0; each < FACTOR; ++each) all[each] = from[at + done * (part + left * each)];
      transform(all);
      to[at + done * FACTOR * part] = all[0];
      for (int each = 1; each < FACTOR; ++each) {
        to[at + done * (FACTOR * part + each)] = turned_back(all[each], 2 * done * part * each);
      }
    }
  }
}

// Samples of 16 frames as 200 complex numbers become their power at each frequency.
inline void power(Complex* samples, Complex* spare, Floats* to) {
  stage<8>(samples, 1, spare);
  stage<5>(spare, 8, samples);
  stage<5>(samples, 40, spare);
  for (int at = 0; at <= kHalfFrame / 2; ++at) {
    const Complex one = spare[at], other = spare[(kHalfFrame - at) % kHalfFrame];
    // Twice the spectra of the even and of the odd samples.
    const Complex even{add(one.real, other.real), sub(one.imaginary, other.imaginary)};
    const Complex odd{add(one.imaginary, other.imaginary), sub(other.real, one.real)};
    const Complex turned = turned_back(odd, at), sum = add(even, turned), difference = sub(even, turned);
    to[at] = fma(sum.real, sum.real, mul(sum.imaginary, sum.imaginary));
    to[kHalfFrame - at] = fma(difference.real, difference.real, mul(difference.imaginary, difference.imaginary));
  }
}

// Logarithm to base 10 of normal numbers above 0, to 2e-7 of it or, near 1, to 2e-8.
inline Floats log10(Floats x) {
  // x = 2**exponent * part, part from the root of a half to that of two.
  constexpr int32_t kRootOfHalf = 0x3F3504F3, kOne = 0x3F800000, kFraction = 0x007FFFFF;
  const Ints moved = add(as_ints(x), ints(kOne - kRootOfHalf));
  const Floats exponent = to_floats(sub(shifted_right<23>(moved), ints(127)));
  const Floats part = as_floats(add(bits_and(moved, ints(kFraction)), ints(kRootOfHalf)));
  // log(part) = 2 artanh((part - 1) / (part + 1)), by its series.
  const Floats ratio = div(sub(part, floats(1.0f)), add(part, floats(1.0f))), square = mul(ratio, ratio);
  Floats sum = floats(0.096509868f);
  for (const float factor : {0.12408411f, 0.17371776f, 0.28952960f, 0.86858896f}) {
    sum = fma(sum, square, floats(factor));
  }
  return fma(exponent, floats(0.30103000f), mul(ratio, sum));
}

// Mel filters [bins, 201], each of which hears few frequencies.
class Filters {
 public:
  Filters(const float* weights, int64_t bins) : bins(bins), weights_(weights), heard_(bins) {
    for (int64_t bin = 0; bin < bins; ++bin) {
      const float* own = weights + bin * kFrequencies;
      auto& [first, end] = heard_[bin];
      for (first = 0; first < kFrequencies && own[first] == 0;) ++first;
      for (end = kFrequencies; end > first && own[end - 1] == 0;) --end;
    }
  }

  Floats heard(int64_t bin, const Floats* power) const {
    Floats sum = floats(0.0f);
    const auto& [first, end] = heard_[bin];
    for (int at = first; at < end; ++at) sum = fma(power[at], floats(weights_[bin * kFrequencies + at]), sum);
    return sum;
  }

  const int64_t bins;

 private:
  const float* weights_;
  std::vector<std::pair<int, int>> heard_;
};

// Sound that is mirrored at its two ends.
struct Sound {
  const float* samples;
  int64_t length;

  // The frame that begins at a sample, each number ``kLanes`` after the one before.
  void frame(int64_t start, float* to) const {
    if (start >= 0 && start + kFrame <= length) {
      for (int at = 0; at < kFrame; ++at) to[at * kLanes] = samples[start + at] * kCircle.window[at];
      return;
    }
    for (int at = 0; at < kFrame; ++at) {
      const int64_t within = std::abs(start + at);
      to[at * kLanes] = samples[within < length ? within : 2 * (length - 1) - within] * kCircle.window[at];
    }
  }
};

// Of 16 frames or the first ``count``, the first of which begins at ``start``: to ``to`` [count, bins].
inline void log_power(const Sound& sound, int64_t start, int count, const Filters& filters, float* to) {
  Complex samples[kHalfFrame], spare[kHalfFrame];
  Floats powers[kFrequencies];
  static_assert(sizeof samples == kFrame * kLanes * sizeof(float));
  for (int frame = 0; frame < kLanes; ++frame) {
    // What is not asked for is filled with the last frame that is.
    sound.frame(start + std::min(frame, count - 1) * kHop, reinterpret_cast<float*>(samples) + frame);
  }
  power(samples, spare, powers);
  for (int64_t bin = 0; bin < filters.bins; ++bin) {
    float frames[kLanes];
    // Digital silence has no logarithm: 1e-10 stands for it.
    store(frames, log10(max(filters.heard(bin, powers), floats(1e-10f))));
    for (int frame = 0; frame < count; ++frame) to[frame * filters.bins + bin] = frames[frame];
  }
}

}  // namespace ttscribe
