// The likeliest of a row of logits that rules allow.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "vectors.h"

namespace ttscribe {

// Of logits [count]: the largest, the first place of it, and the natural logarithm of the sum of all exponentials.
struct Likeliest {
  float logit = -std::numeric_limits<float>::infinity();
  int64_t at = 0;
  float total = -std::numeric_limits<float>::infinity();
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
  if (!(found.logit > -std::numeric_limits<float>::infinity())) return found;
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

}  // namespace ttscribe
