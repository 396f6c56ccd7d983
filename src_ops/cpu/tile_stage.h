// The output stage of ops/output_stage.h for a few pixels by up to 64 channels, whose sums lie in vectors of 16: what
// the kernels for AVX-512 share. Loops for it are in tile_stage.cc and, inside of products, in conv_tile.cc.
#pragma once

#include <cstdint>

#include "../ops/output_stage.h"
#include "packed_weights.h"

namespace mxq {
namespace tiles {

constexpr int64_t kLanes = 16;  // channels of a vector
constexpr int kMaxPixels = 6, kMaxVectors = 4;

// The activation's bounds are on what is stored: bytes, or float32.
struct Stage {
  float zero_point, sum_zero_point, sum_multiplier;
  uint8_t sum_flip;  // the residual's top bit, if it is int8: its value plus 128, as its zero point
  uint8_t low, high;
  float low_value, high_value;
};
Stage make_stage(const OutputStage& stage, DType residual);

// Empty, or why loops do not have this stage.
const char* why_no_loop(const OutputStage& stage);

enum class Out { kUint8, kInt8, kFloat };

// Which of the loops. slope: negative values are multiplied. zero: the output or the residual has a zero point, or the
// residual is int8.
struct StageKind {
  Out out;
  bool sum, slope, zero;
};
StageKind kind_of(const OutputStage& stage, DType residual);

// No value leaves int32 before it is clamped.
bool stays_in_int32(const OutputStage& stage, const Packed& packed);

// The channel of a tile's that lane `i` of vector `v` of `vectors` holds: with bytes, the order that packing undoes.
inline int64_t channel_of(int64_t v, int64_t i, int64_t vectors, Out out) {
  return out != Out::kFloat ? i / 4 * 4 * vectors + 4 * v + i % 4 : v * kLanes + i;
}

// Terms by lane.
struct LaneTerms {
  static constexpr size_t kBytes = 3 * sizeof(float);  // of each
  float *multiplier, *bias, *slope;
  // In memory of `lanes` times kBytes, zeros at first.
  void place(void* memory, int64_t lanes);
  void set(int64_t lane, const ChannelTerms& terms, int64_t channel);
};

// Where the stage of a tile's pixels reads and writes, from its first channel on.
struct Places {
  const uint8_t* residual[kMaxPixels];
  uint8_t* out[kMaxPixels];
  const float *multiplier, *bias, *slope;
  uint64_t live;  // of 64 channels, a bit each
  void set_terms(const LaneTerms& terms, int64_t first, int64_t channels) {
    multiplier = terms.multiplier + first;
    bias = terms.bias + first;
    slope = terms.slope + first;
    live = channels >= 64 ? ~uint64_t{0} : (uint64_t{1} << channels) - 1;
  }
};

// Sums in memory, those of a pixel `stride` behind those of the one before it; at most 4 pixels.
using StageLoop = void (*)(const int32_t* sums, int64_t stride, int pixels, const Places& t, const Stage& stage);
struct StageLoops {
  StageLoop of[kMaxVectors];  // by vectors, from one on
};
StageLoops choose(const StageKind& kind);

}  // namespace tiles
}  // namespace mxq
