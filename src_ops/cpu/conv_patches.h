// Rectangles of a convolution's outputs under which the same taps of the kernel lie inside the image: nine of them for
// 3x3 with padding. So padding is neither stored nor multiplied.
#pragma once

#include <cstdint>
#include <vector>

#include "../ops/conv.h"

namespace mxq {

struct Patch {
  int64_t y, x, height, width;                           // of the outputs
  int64_t first_row, end_row, first_column, end_column;  // of the taps inside the image
  int64_t at;                    // the first byte under the first output's taps, from the image's begin
  std::vector<int64_t> run_at;   // bytes side by side: where they begin, from the first one
  std::vector<int64_t> word_at;  // and which of the kernel's words, of four bytes, is their first
  int64_t words;                 // of each run
  int64_t pixels(int64_t batch) const { return batch * height * width; }
};

// In rows and from left to right. Pixels must be whole words.
std::vector<Patch> patches_of(const ConvGeometry& g);

// One output after the other of a patch.
class Walk {
 public:
  Walk(const ConvGeometry& g, const Patch& patch, int64_t pixel);
  int64_t in() const { return in_; }    // first byte under its taps, from the data's begin
  int64_t out() const { return out_; }  // its number among all outputs

  void next() {
    in_ += step_;
    ++out_;
    if (++x_ < width_) return;
    x_ = 0;
    in_ += in_to_row_;
    out_ += out_to_row_;
    if (++y_ < height_) return;
    y_ = 0;
    in_ += in_to_image_;
    out_ += out_to_image_;
  }

 private:
  int64_t width_, height_, step_, in_to_row_, out_to_row_, in_to_image_, out_to_image_, x_, y_, in_, out_;
};

}  // namespace mxq
