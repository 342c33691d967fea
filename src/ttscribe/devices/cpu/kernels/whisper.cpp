// Whisper's layers on a CPU: what ttscribe.devices.cpu.kernels calls.
//
// Everything is float32 between products, but for what is only read by one; matrices are row after row. The encoder's
// activations are in 8 bits: it waits for products. The decoder's are in 16, since it waits for weights.

#ifdef __AVX512FP16__
#include "halves.h"
#else
#include "attention.h"
#endif
#include "picking.h"
#include "sound.h"

namespace ttscribe {

// What the encoder's attention multiplies. The decoder's waits for memory, and keeps keys and values in bfloat16.
#ifdef __AVX512FP16__
using Attended = Half;
#elif defined __AVX512BF16__
using Attended = Bf16;
#else
using Attended = float;
#endif

struct Attention {
  Norm norm;
  Linear in, out;  // of the encoder and of self-attention queries, keys and values at once, else queries
};

struct FeedForward {
  Norm norm;
  Linear in, out;
};

struct EncoderLayer {
  Attention attention;
  FeedForward feed_forward;
};

struct DecoderLayer {
  Attention self_attention, cross_attention;
  Linear cross_key_value;
  FeedForward feed_forward;
};

// Weights [width, three taps of all channels], and what rounding took from them.
struct Convolution {
  Linear product, rest;
};

struct Model {
  int64_t width, heads, encoder_layers, decoder_layers, slots, vocabulary;
  const EncoderLayer* encoder;
  const DecoderLayer* decoder;
  Norm encoder_norm, decoder_norm;
  Convolution conv1, conv2;
  Halved head;
  const Float16* embedding;  // [vocabulary, width]
  const float* positions;    // [slots, width]
};

// What every step attends to of a window: keys and values [layers, heads, packed head].
struct Memory {
  const Bf16* packed;
  Positions positions;
};

namespace {

// Stores those of 16 results of a row, from ``at`` on, that are among its outputs.
void store_within(float* row, int64_t outputs, int64_t at, Floats values) {
  if (at < outputs) store_first(row + at, outputs - at, values);
}

template <int PARTS>
void add_product(Team& team, const Quantised<PARTS>& input, const Linear& linear, float* states) {
  multiply(team, input, linear, [&](int64_t row, int64_t output, Floats values) {
    float* to = states + row * linear.outputs + output;
    store(to, add(load(to), values));
  });
}

template <int PARTS, class Hidden>
void feed_forward(Team& team, const FeedForward& layer, float* states, int64_t rows, int64_t width) {
  Buffer<Hidden> hidden(rows * layer.in.outputs);
  multiply(team, normalised<PARTS>(team, states, rows, width, layer.norm), layer.in,
           [&](int64_t row, int64_t output, Floats values) {
             store(hidden.get() + row * layer.in.outputs + output, gelu(values));
           });
  add_product(team, quantised<PARTS>(team, hidden.get(), rows, layer.in.outputs), layer.out, states);
}

// Packs keys and values of each head from [length, stride], where they begin at the given columns.
template <class Element>
void pack_heads(Team& team, const Element* keys, const Element* values, int64_t stride, int64_t length, int64_t heads,
                Element* to) {
  team.run(heads, [&](int64_t head) {
    pack_head(keys + head * kHead, values + head * kHead, stride, length, to + head * packed_head<Element>(length));
  });
}

void encoder_attention(Team& team, const Attention& layer, float* states, Positions positions, int64_t width,
                       int64_t heads) {
  const int64_t stride = 3 * width, length = positions.length;
  Buffer<Attended> projected(length * stride), packed(heads * packed_head<Attended>(length));
  Buffer<float> attended(length * width);
  multiply(team, normalised<1>(team, states, length, width, layer.norm), layer.in,
           [&](int64_t row, int64_t output, Floats values) {
             const float scale = output < width ? kQueryScale : 1.0f;
             store(projected.get() + row * stride + output, mul(values, floats(scale)));
           });
  pack_heads(team, projected.get() + width, projected.get() + 2 * width, stride, length, heads, packed.get());
  const int64_t together = 25 * kRows, blocks = chunks(length, together);
  team.run(heads * blocks, [&](int64_t task) {
    const int64_t head = task / blocks, from = task % blocks * together;
    attend(projected.get() + from * stride + head * kHead, stride, std::min(together, length - from),
           packed.get() + head * packed_head<Attended>(length), positions,
           attended.get() + from * width + head * kHead, width);
  });
  add_product(team, quantised<1>(team, attended.get(), length, width), layer.out, states);
}

// What a call of the decoder works on: tokens and positions [rows], ``each`` of them for every cache.
struct Step {
  int64_t rows, each;
  const int64_t* positions;
  float* const* caches;  // of each window [layers, 2, heads, slots, 64]
  const Memory* memories;
};

void self_attention(Team& team, const Model& model, int64_t at, const Step& step, float* states) {
  const Attention& layer = model.decoder[at].self_attention;
  const int64_t width = model.width, stride = 3 * width, per_head = model.slots * kHead, half = model.heads * per_head;
  Buffer<float> projected(step.rows * stride), attended(step.rows * width);
  multiply(team, normalised<2>(team, states, step.rows, width, layer.norm), layer.in,
           [&](int64_t row, int64_t output, Floats values) { store(projected.get() + row * stride + output, values); });
  team.run(model.heads, [&](int64_t head) {
    for (int64_t row = 0; row < step.rows; ++row) {
      float* keys = step.caches[row / step.each] + at * 2 * half + head * per_head;
      const float* own = projected.get() + row * stride + head * kHead;
      const int64_t slot = step.positions[row];
      std::memcpy(keys + slot * kHead, own + width, kHead * sizeof(float));
      std::memcpy(keys + half + slot * kHead, own + 2 * width, kHead * sizeof(float));
      attend_cached(own, keys, keys + half, slot + 1, attended.get() + row * width + head * kHead);
    }
  });
  add_product(team, quantised<2>(team, attended.get(), step.rows, width), layer.out, states);
}

void cross_attention(Team& team, const Model& model, int64_t at, const Step& step, float* states) {
  const Attention& layer = model.decoder[at].cross_attention;
  const int64_t width = model.width, windows = step.rows / step.each;
  Buffer<Bf16> queries(step.rows * width);
  Buffer<float> attended(step.rows * width);
  multiply(team, normalised<2>(team, states, step.rows, width, layer.norm), layer.in,
           [&](int64_t row, int64_t output, Floats values) {
             store(queries.get() + row * width + output, mul(values, floats(kQueryScale)));
           });
  team.run(model.heads, [&](int64_t head) {
    for (int64_t window = 0, next; window < windows; window = next) {
      // Beams share a window: their rows read it once.
      const auto& [packed, positions] = step.memories[window];
      for (next = window + 1; next < windows && step.memories[next].packed == packed;) ++next;
      const int64_t row = window * step.each, size = packed_head<Bf16>(positions.length);
      attend(queries.get() + row * width + head * kHead, width, (next - window) * step.each,
             packed + (at * model.heads + head) * size, positions, attended.get() + row * width + head * kHead, width);
    }
  });
  add_product(team, quantised<2>(team, attended.get(), step.rows, width), layer.out, states);
}

// States [rows, width] to rows [rows, head's outputs + width] of inexact logits and normalised states.
void screen(Team& team, const Model& model, const float* states, int64_t rows, float* screened) {
  const int64_t width = model.width, outputs = model.head.outputs, stride = outputs + width;
  Quantised<2> input(rows, width);
  Buffer<float> missing(rows), raised(rows);
  for (int64_t row = 0; row < rows; ++row) {
    float* state = screened + row * stride + outputs;
    normalise_row(states + row * width, width, model.decoder_norm, state);
    input.set(row, state);
    const float deviation = kHalfDeviation * length_of(state, width);
    missing.get()[row] = kHalfMean * sum_of(state, width);
    raised.get()[row] = kRaised * deviation * deviation;
  }
  multiply(team, input, Part<false>{model.head}, [&](int64_t row, int64_t output, Floats values) {
    const Floats scale = load(model.head.scale + output);
    const Floats lower = sub(floats(missing.get()[row]), mul(floats(raised.get()[row]), scale));
    store(screened + row * stride + output, fma(lower, scale, values));
  });
}

void embed(const Model& model, const Step& step, const int64_t* tokens, float* states) {
  for (int64_t row = 0; row < step.rows; ++row) {
    const Float16* token = model.embedding + tokens[row] * model.width;
    const float* position = model.positions + step.positions[row] * model.width;
    for (int64_t at = 0; at < model.width; ++at)
      states[row * model.width + at] = static_cast<float>(token[at]) + position[at];
  }
}

}  // namespace
}  // namespace ttscribe

using namespace ttscribe;

extern "C" {

// Packed weights of so many outputs, filled up to panels, in halves, and for each output the sum of the upper ones.
void ttscribe_halve(const int8_t* packed, int64_t outputs, int64_t inputs, uint8_t* halves, int32_t* upper_sums) {
  std::fill_n(upper_sums, outputs, 0);
  uint8_t *upper = halves, *lower = halves + outputs * inputs / 2;
  for (int64_t from = 0; from < outputs * inputs; from += 4 * kPanel) {
    const int64_t first = from / (kPanel * inputs) * kPanel;
    for (int64_t at = from; at < from + 2 * kPanel; ++at) {
      const int8_t left = packed[at], right = packed[at + 2 * kPanel];
      *upper++ = (left >> 4 & 0x0F) | (right & 0xF0);
      *lower++ = (left & 0x0F) | (right << 4);
      upper_sums[first + (at - from) / 4] += left & ~0x0F;
      upper_sums[first + (at - from) / 4 + kLanes] += right & ~0x0F;
    }
  }
}

// Weights [outputs, inputs] to a linear's panels, scales and sums, each output by its own largest weight.
void ttscribe_pack(const float* weight, int64_t outputs, int64_t inputs, int8_t* packed, float* scale, int32_t* sums) {
  for (int64_t output = 0; output < rounded_up(outputs, kPanel); ++output) {
    const float* row = weight + output * inputs;
    float most = 0;
    for (int64_t at = 0; output < outputs && at < inputs; ++at) most = std::max(most, std::fabs(row[at]));
    const float inverse = most > 0 ? 127.0f / most : 0.0f;
    int8_t* to = packed + output / kPanel * kPanel * inputs + output % kPanel * 4;
    int32_t total = 0;
    for (int64_t at = 0; at < inputs; ++at) {
      const auto value = static_cast<int8_t>(output < outputs ? std::lrint(row[at] * inverse) : 0);
      to[at / 4 * kPanel * 4 + at % 4] = value;
      total += value;
    }
    scale[output] = most / 127.0f;
    sums[output] = total;
  }
}

// input [rows, inputs] to output [rows, outputs].
void ttscribe_linear(const Linear* linear, const float* input, int64_t rows, float* output, int threads) {
  Team team(threads);
  multiply(team, quantised<1>(team, input, rows, linear->inputs), *linear, [&](int64_t row, int64_t at, Floats values) {
    store_within(output + row * linear->outputs, linear->outputs, at, values);
  });
}

// A convolution of three taps and GELU: input [positions, channels], in which a result begins every ``stride`` numbers,
// to output [rows, outputs]. Weights and activations have 16 bits, as all else is made of what it gives.
void ttscribe_convolve(const Convolution* convolution, const float* input, int64_t stride, int64_t rows, float* output,
                       int threads) {
  Team team(threads);
  const auto& [product, rest] = *convolution;
  multiply(team, quantised<2>(team, input, rows, product.inputs, stride), product,
           [&](int64_t row, int64_t at, Floats values) { store(output + row * product.outputs + at, values); });
  multiply(team, quantised<1>(team, input, rows, rest.inputs, stride), rest,
           [&](int64_t row, int64_t at, Floats values) {
             float* to = output + row * rest.outputs + at;
             store(to, gelu(add(load(to), values)));
           });
}

// States [length, width] after the convolutions and positions become the encoder's, in place.
void ttscribe_encode(const Model* model, float* states, int64_t length, int64_t single, int threads) {
  Team team(threads);
  const Positions positions{length, single};
  for (int64_t layer = 0; layer < model->encoder_layers; ++layer) {
    encoder_attention(team, model->encoder[layer].attention, states, positions, model->width, model->heads);
    feed_forward<1, Bf16>(team, model->encoder[layer].feed_forward, states, length, model->width);
  }
  each_row(team, length, [&](int64_t row) {
    float* own = states + row * model->width;
    normalise_row(own, model->width, model->encoder_norm, own);
  });
}

// Elements of the memory of a window.
int64_t ttscribe_memory_size(const Model* model, int64_t length) {
  return model->decoder_layers * model->heads * packed_head<Bf16>(length);
}

// The encoder's states [length, width] to what every step attends to: keys and values of each layer and head.
void ttscribe_remember(const Model* model, const float* states, int64_t length, Bf16* memory, int threads) {
  Team team(threads);
  const int64_t width = model->width, stride = 2 * width;
  const Quantised<2> input = quantised<2>(team, states, length, width);
  Buffer<Bf16> projected(length * stride);
  for (int64_t layer = 0; layer < model->decoder_layers; ++layer) {
    multiply(team, input, model->decoder[layer].cross_key_value, [&](int64_t row, int64_t output, Floats values) {
      store(projected.get() + row * stride + output, values);
    });
    pack_heads(team, projected.get(), projected.get() + width, stride, length, model->heads,
               memory + layer * model->heads * packed_head<Bf16>(length));
  }
}

// Tokens at positions [windows, each] to logits [windows, count, vocabulary] after those at these rows [count] of each;
// writes into the caches. Screened, half of the vocabulary's weights is read, and a row is inexact logits of the head's
// outputs and the state [width] behind them: ``ttscribe_pick`` makes exact what has to be.
void ttscribe_decode(const Model* model, int64_t windows, int64_t each, const int64_t* tokens, const int64_t* positions,
                     float* const* caches, const Memory* memories, int64_t count, const int64_t* rows, float* logits,
                     int screened, int threads) {
  Team team(threads);
  const Step step{windows * each, each, positions, caches, memories};
  Buffer<float> states(step.rows * model->width);
  embed(*model, step, tokens, states.get());
  for (int64_t layer = 0; layer < model->decoder_layers; ++layer) {
    self_attention(team, *model, layer, step, states.get());
    cross_attention(team, *model, layer, step, states.get());
    feed_forward<2, float>(team, model->decoder[layer].feed_forward, states.get(), step.rows, model->width);
  }
  Buffer<float> wanted(windows * count * model->width);
  for (int64_t row = 0; row < windows * count; ++row) {
    const float* state = states.get() + (row / count * each + rows[row % count]) * model->width;
    std::copy_n(state, model->width, wanted.get() + row * model->width);
  }
  if (screened) {
    screen(team, *model, wanted.get(), windows * count, logits);
    return;
  }
  const Quantised<2> last = normalised<2>(team, wanted.get(), windows * count, model->width, model->decoder_norm);
  multiply(team, last, Part<true>{model->head}, [&](int64_t row, int64_t output, Floats values) {
    store_within(logits + row * model->vocabulary, model->vocabulary, output, values);
  });
}

// The likeliest of the text tokens from ``text`` to ``text_end`` and of the timestamps from ``times`` to ``times_end``,
// without those in ``never`` [forbidden]; what is not allowed becomes minus infinity in ``logits`` [vocabulary], or in a
// screened row of ``model``, which is null for other logits. Where timestamps together are likelier than the likeliest
// text, it is one of them. ``logprob`` is its natural-log probability among what was allowed: not a number where a logit
// is none, or nothing was allowed.
int64_t ttscribe_pick(const Model* model, float* logits, const int64_t* never, int64_t forbidden, int64_t text,
                      int64_t text_end, int64_t times, int64_t times_end, float* logprob, int threads) {
  const Allowed allowed{never, forbidden, text, text_end, times, times_end};
  if (model != nullptr) {
    Team team(threads);
    refine(team, model->head, allowed, logits);
  }
  allowed.forbid_others(logits, times_end);
  const Likeliest word = likeliest(logits + text, text_end - text), time = likeliest(logits + times, times_end - times);
  const bool is_time = time.total > word.logit || time.logit > word.logit;
  const Likeliest& picked = is_time ? time : word;
  float total = picked.total;
  if (!(time.total > word.logit)) {
    const float more = std::max(word.total, time.total), less = std::min(word.total, time.total);
    total = more + std::log1p(std::exp(less - more));
  }
  const bool damaged = any_damaged(logits + text, text_end - text) || any_damaged(logits + times, times_end - times);
  *logprob = damaged ? std::numeric_limits<float>::quiet_NaN() : picked.logit - total;
  return (is_time ? times : text) + picked.at;
}

// Log10 of mel power by filters [bins, 201]: to [frames, bins], of frames of 400 samples centred on ``first`` and each
// 160th sample from there on. The signal [length] is mirrored at its ends.
void ttscribe_log_power(const float* signal, int64_t length, int64_t first, int64_t frames, const float* filters,
                        int64_t bins, float* to, int threads) {
  Team team(threads);
  const Filters mel(filters, bins);
  const Sound sound{signal, length};
  team.run(chunks(frames, kLanes), [&](int64_t task) {
    const int64_t frame = task * kLanes;
    log_power(sound, first - kHalfFrame + frame * kHop, static_cast<int>(std::min<int64_t>(kLanes, frames - frame)),
              mel, to + frame * bins);
  });
}

}  // extern "C"
