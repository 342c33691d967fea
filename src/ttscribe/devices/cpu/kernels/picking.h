// The likeliest of a row of logits that rules allow, few of which have to be exact.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "products.h"

namespace ttscribe {

inline constexpr float kForbidden = -std::numeric_limits<float>::infinity();

// Of logits [count]: the largest, the first place of it, and the natural logarithm of the sum of all exponentials.
struct Likeliest {
  float logit = kForbidden;
  int64_t at = 0;
  float total = kForbidden;
};

// Vectors whose exponentials are summed in float32 before they go to a sum in 64 bits.
inline constexpr int64_t kExponentials = 32 * kLanes;

inline Likeliest likeliest(const float* logits, int64_t count) {
  Likeliest found;
  const int64_t whole = count / kLanes * kLanes;
  Floats most = floats(found.logit);
  for (int64_t at = 0; at < whole; at += kLanes) most = max(most, load(logits + at));
  found.logit = largest_of(most);
  for (int64_t at = whole; at < count; ++at) found.logit = std::max(found.logit, logits[at]);
  if (!(found.logit > kForbidden)) return found;
  while (logits[found.at] != found.logit) ++found.at;

  constexpr float kLogOfE = 1.44269504f;  // to base 2
  double sum = 0;
  for (int64_t from = 0; from < whole; from += kExponentials) {
    Floats part = floats(0.0f);
    for (int64_t at = from; at < std::min(whole, from + kExponentials); at += kLanes) {
      // What is forbidden is minus infinity, of which exp2 knows nothing.
      const Floats below = mul(sub(load(logits + at), floats(found.logit)), floats(kLogOfE));
      part = add(part, exp2(max(below, floats(-127.0f))));
    }
    sum += sum_of(part);
  }
  for (int64_t at = whole; at < count; ++at) sum += std::exp(logits[at] - found.logit);
  found.total = found.logit + static_cast<float>(std::log(sum));
  return found;
}

// Whether one of logits [count] is no number or infinitely large; a comparison passes over what is no number.
inline bool any_damaged(const float* logits, int64_t count) {
  int found = 0;
  for (int64_t at = 0; at < count; ++at) found |= !(logits[at] < std::numeric_limits<float>::infinity());
  return found;
}

// The text tokens and the timestamps that may come next, but for those in ``never``.
struct Allowed {
  const int64_t* never;
  int64_t forbidden, text, text_end, times, times_end;

  // Makes all others minus infinity among logits [count].
  void forbid_others(float* logits, int64_t count) const {
    for (int64_t at = 0; at < forbidden; ++at) logits[never[at]] = kForbidden;
    std::fill(logits, logits + text, kForbidden);
    std::fill(logits + text_end, logits + times, kForbidden);
    std::fill(logits + times_end, logits + count, kForbidden);
  }
};

// What a logit is off by without the lower halves of its weights, each from 0 to 15, is distributed as normal numbers
// are. Their standard deviation is kHalfDeviation times the output's scale and the length of the state, and kSurely of
// them are never reached: of 120 million logits of tiny.en and base on speech the furthest was off by 5.6.
// Weights can be made up that are further off: 127 and -127 alone, by the signs of a state.
inline constexpr float kHalfMean = 7.5f, kHalfDeviation = 4.61f, kSurely = 7;

// Exponentials are raised by it, as if logits were that many times its square larger. Were it independent of the
// inexact logits it would be half, were it of the exact ones minus half: measured by the sum of all that is not likely.
inline constexpr float kRaised = 0.2f;

// How much of the sum of all exponentials a token's may be off by and still count by its inexact logit.
inline constexpr float kNegligible = 6e-5f;

// Of a row of inexact logits [outputs], with the state [inputs] behind them that they are of, those become exact that
// what is picked depends on, and those that are likely. What is not allowed becomes minus infinity.
inline void refine(Team& team, const Halved& head, const Allowed& allowed, float* row) {
  const float* state = row + head.outputs;
  Quantised<2> input(1, head.inputs);
  input.set(0, state);
  auto compute = [&](int64_t panel) {
    multiply_panel(input, 0, 1, Part<true>{head}, panel,
                   [&](int64_t, int64_t output, Floats values) { store(row + output, values); });
  };
  allowed.forbid_others(row, head.outputs);
  const Likeliest word = likeliest(row + allowed.text, allowed.text_end - allowed.text);
  const Likeliest time = likeliest(row + allowed.times, allowed.times_end - allowed.times);
  if (!(std::max(word.logit, time.logit) > kForbidden)) return;
  const int64_t best = word.logit > time.logit ? allowed.text + word.at : allowed.times + time.at;
  compute(best / kPanel);
  allowed.forbid_others(row, head.outputs);

  // Whether timestamps together may be likelier than all text depends on each of them.
  const float deviation = kHalfDeviation * length_of(state, head.inputs), reach = kSurely * deviation;
  const float least = row[best];
  const float likely = std::max(word.total, time.total) + std::log(kNegligible / (deviation * head.scale[best]));
  float widest = 0;
  for (int64_t at = allowed.times; at < allowed.times_end; ++at) widest = std::max(widest, head.scale[at]);
  const bool times_matter = time.total + reach * widest >= least;
  std::vector<int64_t> panels;
  for (int64_t first = 0; first < head.outputs; first += kPanel) {
    Floats most = floats(kForbidden), furthest = most;
    for (int64_t at = first; at < first + kPanel; at += kLanes) {
      const Floats logits = load(row + at);
      most = max(most, logits);
      furthest = max(furthest, fma(floats(reach), load(head.scale + at), logits));
    }
    const bool has_times = first < allowed.times_end && first + kPanel > allowed.times;
    if (largest_of(furthest) >= least || largest_of(most) >= likely || (times_matter && has_times)) {
      panels.push_back(first / kPanel);
    }
  }
  team.run(panels.size(), [&](int64_t index) { compute(panels[index]); });
}

}  // namespace ttscribe
