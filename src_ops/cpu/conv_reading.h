// How conv_tiles.cc reads an image: where it lies, or from a copy.
#pragma once

#include <cstdint>
#include <vector>

#include "conv_patches.h"

namespace mxq {

// Bytes under the whole kernel as products run over them. Words, of four bytes, are those of the weights.
struct Under {
  int64_t runs, bytes;
  int64_t words() const { return (bytes + 3) / 4; }
};

Under multiplied(const ConvGeometry& g);

// Bytes of a run that is moved at once to be joined with others, and of all of a pixel's at most.
constexpr int64_t kMoved = 32, kMostJoined = 192;

struct Reading {
  ConvGeometry from;  // of what is read
  std::vector<Patch> patches;
  bool copies;                     // with its padding around it
  std::vector<int64_t> joined_at;  // runs under a pixel of the copy that are joined to one, if they are
  int64_t joined_bytes;            // of each
};

Reading reading(const ConvGeometry& g, int64_t tile_pixels);

// How many words tiles multiply, those of pixels that they lack included.
int64_t effort(const std::vector<Patch>& patches, int64_t batch, int64_t tile_pixels);

}  // namespace mxq
