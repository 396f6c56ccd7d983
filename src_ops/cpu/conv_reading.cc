#include "conv_reading.h"

#include <algorithm>

namespace mxq {
namespace {

// The bytes as they lie.
Under neighbours(const ConvGeometry& g) {
  if (g.dilate_w == 1 || g.kernel_w == 1) return {g.kernel_h, g.kernel_w * g.in_c};
  return {g.kernel_h * g.kernel_w, g.in_c};
}

ConvGeometry padded(ConvGeometry g) {
  g.in_h = std::max(g.in_h + g.pad_top, (g.out_h - 1) * g.stride_h + (g.kernel_h - 1) * g.dilate_h + 1);
  g.in_w = std::max(g.in_w + g.pad_left, (g.out_w - 1) * g.stride_w + (g.kernel_w - 1) * g.dilate_w + 1);
  g.pad_top = g.pad_left = g.pad_bottom = g.pad_right = 0;
  return g;
}

// Pixels are no whole words: the last one of a run reaches into the next pixel, where weights are zero.
Reading across_pixels(const ConvGeometry& g) {
  Reading copy{padded(g), {}, true, {}, neighbours(g).bytes};
  const Under under = multiplied(g);
  const int64_t columns = neighbours(g).runs / g.kernel_h;
  std::vector<int64_t> at, word_at;
  for (int64_t y = 0; y < g.kernel_h; ++y) {
    for (int64_t x = 0; x < columns; ++x) {
      at.push_back((y * g.dilate_h * copy.from.in_w + x * g.dilate_w) * g.in_c);
    }
  }
  if (static_cast<int64_t>(at.size()) != under.runs) {
    copy.joined_at = at;
    at = {0};
  }
  for (int64_t r = 0; r < under.runs; ++r) word_at.push_back(r * under.words());
  copy.patches.push_back({0, 0, g.out_h, g.out_w, 0, g.kernel_h, 0, g.kernel_w, 0, at, word_at, under.words()});
  return copy;
}

}  // namespace

Under multiplied(const ConvGeometry& g) {
  const Under runs = neighbours(g), one{1, runs.runs * runs.bytes};
  if (g.in_c % 4 == 0) return one;
  const bool joins = runs.bytes <= kMoved && one.bytes <= kMostJoined && one.words() < runs.runs * runs.words();
  return joins ? one : runs;
}

int64_t effort(const std::vector<Patch>& patches, int64_t batch, int64_t tile_pixels) {
  int64_t words = 0;
  for (const Patch& p : patches) {
    words += (p.pixels(batch) + tile_pixels - 1) / tile_pixels * static_cast<int64_t>(p.run_at.size()) * p.words;
  }
  return words;
}

Reading reading(const ConvGeometry& g, int64_t tile_pixels) {
  if (g.in_c % 4 != 0) return across_pixels(g);
  Reading in_place{g, {}, false, {}, 0};
  if (g.kernel_h * g.kernel_w * g.stride_h * g.stride_w == 1 &&
      !(g.pad_top | g.pad_left | g.pad_bottom | g.pad_right)) {  // all pixels are one row
    in_place.from.in_w = in_place.from.out_w = g.pixels();
    in_place.from.in_h = in_place.from.out_h = in_place.from.batch = 1;
  }
  in_place.patches = patches_of(in_place.from);
  if (in_place.patches.size() == 1) return in_place;
  // Many small patches may cost more than what they save.
  Reading copy{padded(g), {}, true, {}, 0};
  copy.patches = patches_of(copy.from);
  const int64_t here = effort(in_place.patches, in_place.from.batch, tile_pixels);
  return here <= effort(copy.patches, g.batch, tile_pixels) ? in_place : copy;
}

}  // namespace mxq
