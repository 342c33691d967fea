// Every function of the kernels' library on a small model of numbers that are the same everywhere: prints what they
// give, a line for each, for the test to compare processors by.

#include <cstdio>
#include <deque>
#include <string>
#include <vector>

#include "whisper.cpp"

namespace {

constexpr int64_t kWidth = 128, kHeads = 2, kHidden = 256, kVocabulary = 200, kBins = 32, kContext = 16, kFrames = 150,
                  kSingle = 130;
constexpr int kThreads = 2;

// Numbers from -1 to 1.
float number() {
  static uint32_t state = 1;
  state = state * 1664525u + 1013904223u;
  return static_cast<float>(state >> 8) / (1 << 23) - 1.0f;
}

std::vector<float> numbers(int64_t count, float scale = 1.0f) {
  std::vector<float> all(count);
  for (float& each : all) each = scale * number();
  return all;
}

// What the structures point to.
template <class T>
const T* kept(std::vector<T> values) {
  static std::deque<std::vector<T>> all;
  return all.emplace_back(std::move(values)).data();
}

Linear linear(int64_t outputs, int64_t inputs, float scale) {
  const int64_t full = rounded_up(outputs, kPanel);
  std::vector<int8_t> packed(full * inputs);
  std::vector<float> scales(full), bias = numbers(full);
  std::vector<int32_t> sums(full);
  ttscribe_pack(numbers(outputs * inputs, scale).data(), outputs, inputs, packed.data(), scales.data(), sums.data());
  std::fill(bias.begin() + outputs, bias.end(), 0.0f);
  return {kept(packed), kept(scales), kept(sums), kept(bias), outputs, inputs};
}

Halved halved(const Linear& whole) {
  const int64_t full = rounded_up(whole.outputs, kPanel);
  std::vector<uint8_t> halves(full * whole.inputs);
  std::vector<int32_t> upper_sums(full);
  ttscribe_halve(whole.weight, full, whole.inputs, halves.data(), upper_sums.data());
  return {kept(halves), whole.scale, whole.sums, kept(upper_sums), full, whole.inputs};
}

// A product of activations in 16 bits, its outputs filled up to panels.
template <class Layer>
std::vector<float> product(const Layer& layer, const std::vector<float>& rows) {
  Team team(kThreads);
  const int64_t count = rows.size() / layer.inputs, stride = rounded_up(layer.outputs, kPanel);
  std::vector<float> results(count * stride);
  multiply(team, quantised<2>(team, rows.data(), count, layer.inputs), layer,
           [&](int64_t row, int64_t output, Floats values) { store(results.data() + row * stride + output, values); });
  return results;
}

Norm norm() { return {kept(std::vector<float>(kWidth, 1.0f)), kept(numbers(kWidth, 0.1f))}; }

Attention attention(int64_t outputs) { return {norm(), linear(outputs, kWidth, 0.2f), linear(kWidth, kWidth, 0.1f)}; }

FeedForward feed_forward_of() { return {norm(), linear(kHidden, kWidth, 0.2f), linear(kWidth, kHidden, 0.1f)}; }

template <class T>
void print(const std::string& name, const T* values, int64_t count) {
  std::printf("%s", name.c_str());
  for (int64_t at = 0; at < count; ++at) std::printf(" %.9g", static_cast<double>(values[at]));
  std::printf("\n");
}

}  // namespace

int main() {
  const Linear some = linear(70, kWidth, 1.0f);
  const std::vector<float> rows = numbers(5 * kWidth);
  std::vector<float> products(5 * some.outputs);
  ttscribe_linear(&some, rows.data(), 5, products.data(), kThreads);
  print("linear", products.data(), products.size());
  Linear without_bias = some;
  without_bias.bias = kept(std::vector<float>(rounded_up(some.outputs, kPanel)));
  const std::vector<float> whole = product(without_bias, rows), halves = product(Part<true>{halved(some)}, rows);
  print("whole", whole.data(), whole.size());
  print("halves", halves.data(), halves.size());

  const EncoderLayer encoder{attention(3 * kWidth), feed_forward_of()};
  const DecoderLayer decoder{attention(3 * kWidth), attention(kWidth), linear(2 * kWidth, kWidth, 0.2f),
                             feed_forward_of()};
  std::vector<Float16> embedding(kVocabulary * kWidth);
  for (Float16& each : embedding) each = static_cast<Float16>(number());
  const Convolution conv{linear(kWidth, 3 * kBins, 0.2f), linear(kWidth, 3 * kBins, 0.001f)};
  const Model model{kWidth, kHeads, 1, 1, kContext, kVocabulary, &encoder, &decoder, norm(), norm(), conv, conv,
                    halved(linear(kVocabulary, kWidth, 0.2f)), embedding.data(), kept(numbers(kContext * kWidth))};

  const std::vector<float> heard = numbers((kFrames + 2) * kBins);
  std::vector<float> states(kFrames * kWidth);
  ttscribe_convolve(&conv, heard.data(), kBins, kFrames, states.data(), kThreads);
  print("convolve", states.data(), states.size());
  ttscribe_encode(&model, states.data(), kFrames, kSingle, kThreads);
  print("encode", states.data(), states.size());

  std::vector<Bf16> memory(ttscribe_memory_size(&model, kFrames));
  ttscribe_remember(&model, states.data(), kFrames, memory.data(), kThreads);
  std::vector<float> cache(2 * kHeads * kContext * kHead), logits(2 * kVocabulary),
      screened(model.head.outputs + kWidth);
  float* caches[] = {cache.data()};
  const Memory memories[] = {{memory.data(), {kFrames, kSingle}}};
  const int64_t tokens[] = {5, 9, 11}, positions[] = {0, 1, 2}, wanted[] = {0, 2};
  ttscribe_decode(&model, 1, 3, tokens, positions, caches, memories, 2, wanted, logits.data(), false, kThreads);
  print("prompt", logits.data(), 2 * kVocabulary);
  const int64_t token[] = {7}, position[] = {3}, first[] = {0};
  ttscribe_decode(&model, 1, 1, token, position, caches, memories, 1, first, logits.data(), false, kThreads);
  print("step", logits.data(), kVocabulary);

  ttscribe_decode(&model, 1, 1, token, position, caches, memories, 1, first, screened.data(), true, kThreads);
  print("screened", screened.data(), screened.size());

  const int64_t never[] = {3, 150};
  auto print_pick = [&](const std::string& name, const Model* screening, float* row) {
    float logprob;
    const int64_t picked = ttscribe_pick(screening, row, never, 2, 0, 140, 145, kVocabulary, &logprob, kThreads);
    const double told[] = {static_cast<double>(picked), logprob};
    print(name, told, 2);
  };
  print_pick("pick", nullptr, logits.data());
  print_pick("screened_pick", &model, screened.data());

  // Of two times sixteen frames, the last ones at the end of the sound.
  constexpr int64_t kSamples = 30 * kHop, kMelFrames = 30;
  const std::vector<float> sound = numbers(kSamples), filters = numbers(kBins * kFrequencies);
  std::vector<float> mel(kMelFrames * kBins);
  ttscribe_log_power(sound.data(), kSamples, 0, kMelFrames, filters.data(), kBins, mel.data(), kThreads);
  print("log_power", mel.data(), mel.size());
}
