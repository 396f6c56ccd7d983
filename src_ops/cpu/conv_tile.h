// The inner loop of conv_tiles.cc: sums of some pixels by up to 64 output channels in registers, then their output
// stage.
#pragma once

#include <cstdint>

#include "tile_stage.h"

namespace mxq {
namespace tiles {

// Pixels of a tile with so many vectors. More of them would read weights less often, but the products of one tile then
// run less beside the output stage of the last: on a Zen 4, 4 are 1.01 (many input channels) to 1.1 times as fast as 6.
constexpr int pixels_of(int64_t vectors) { return vectors == 1 ? 6 : 4; }

// The bytes under a pixel: runs of neighbours, all as long.
struct Runs {
  const int64_t* at;       // offset of each from the pixel's first byte
  const int64_t* word_at;  // its first word among those of the weights
  int64_t count, words;
};

struct Tile : Places {
  const uint8_t* x[kMaxPixels];
  const int8_t* weights;  // word of all runs, vector, lane, byte
  const int32_t* start;   // the rest by vector and lane
};

using TileLoop = void (*)(const Tile& t, const Runs& runs, const Stage& stage);

// By vectors and pixels, from one on.
struct TileLoops {
  TileLoop of[kMaxVectors][kMaxPixels];
};

// flip: the data is int8.
TileLoops choose(const StageKind& kind, bool flip);

}  // namespace tiles
}  // namespace mxq
