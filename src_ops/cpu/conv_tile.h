// The inner loop of conv_tiles.cc: sums of some pixels by up to 64 output channels in registers, then their output
// stage.
#pragma once

#include <cstdint>

namespace mxq {
namespace tiles {

constexpr int64_t kLanes = 16;  // channels of a vector
constexpr int kMaxPixels = 6, kMaxVectors = 4;

// Pixels of a tile with so many vectors. More of them would read weights less often, but the products of one tile then
// run less beside the output stage of the last: on a Zen 4, 4 are 1.01 (many input channels) to 1.1 times as fast as 6.
constexpr int pixels_of(int64_t vectors) { return vectors == 1 ? 6 : 4; }

// The output stage with the activation's bounds on what is stored: bytes, or float32.
struct Stage {
  float zero_point, sum_zero_point, sum_multiplier;
  uint8_t sum_flip;  // the residual's top bit, if it is int8: its value plus 128, as its zero point
  uint8_t low, high;
  float low_value, high_value;
};

// The bytes under a pixel: runs of neighbours, all as long.
struct Runs {
  const int64_t* at;       // offset of each from the pixel's first byte
  const int64_t* word_at;  // its first word among those of the weights
  int64_t count, words;
};

struct Tile {
  const uint8_t* x[kMaxPixels];
  const uint8_t* residual[kMaxPixels];
  uint8_t* out[kMaxPixels];
  const int8_t* weights;  // word of all runs, vector, lane, byte
  const int32_t* start;   // the rest by vector and lane
  const float *multiplier, *bias, *slope;
  uint64_t live;  // of 64 channels, a bit each
};

// The channel of a tile's that lane `i` of vector `v` of `vectors` holds: with bytes, the order that packing undoes.
inline int64_t channel_of(int64_t v, int64_t i, int64_t vectors, bool packs) {
  return packs ? i / 4 * 4 * vectors + 4 * v + i % 4 : v * kLanes + i;
}

enum class Out { kUint8, kInt8, kFloat };

using TileLoop = void (*)(const Tile& t, const Runs& runs, const Stage& stage);

// By vectors and pixels, from one on.
struct TileLoops {
  TileLoop of[kMaxVectors][kMaxPixels];
};

// slope: negative values are multiplied. flip: the data is int8. zero: the output or the residual has a zero point, or
// the residual is int8.
TileLoops choose(Out out, bool sum, bool slope, bool flip, bool zero);

}  // namespace tiles
}  // namespace mxq
