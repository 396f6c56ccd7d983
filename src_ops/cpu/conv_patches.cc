#include "conv_patches.h"

#include <algorithm>

namespace mxq {
namespace {

// Outputs along one axis with the same taps inside the image.
struct Span {
  int64_t begin, end, first_tap, end_tap;
};

std::vector<Span> spans(int64_t outputs, int64_t size, int64_t kernel, int64_t stride, int64_t dilate, int64_t pad) {
  std::vector<Span> found;
  for (int64_t i = 0; i < outputs; ++i) {
    const int64_t at = i * stride - pad;  // of tap 0
    const int64_t first = at >= 0 ? 0 : std::min((-at + dilate - 1) / dilate, kernel);
    const int64_t end = std::max(first, at >= size ? 0 : std::min((size - 1 - at) / dilate + 1, kernel));
    if (!found.empty() && found.back().first_tap == first && found.back().end_tap == end) {
      ++found.back().end;
    } else {
      found.push_back({i, i + 1, first, end});
    }
  }
  return found;
}

// What lies side by side is one run.
void find_runs(const ConvGeometry& g, Patch* p) {
  const int64_t columns = p->end_column - p->first_column, row = g.in_w * g.in_c, pixel_words = g.in_c / 4;
  const bool joined = g.dilate_w == 1 || columns == 1;
  p->words = pixel_words * (joined ? columns : 1);
  for (int64_t y = p->first_row; y < p->end_row; ++y) {
    for (int64_t x = p->first_column; x < (joined && columns ? p->first_column + 1 : p->end_column); ++x) {
      p->run_at.push_back((y - p->first_row) * g.dilate_h * row + (x - p->first_column) * g.dilate_w * g.in_c);
      p->word_at.push_back((y * g.kernel_w + x) * pixel_words);
    }
  }
}

}  // namespace

std::vector<Patch> patches_of(const ConvGeometry& g) {
  std::vector<Patch> patches;
  const std::vector<Span> columns = spans(g.out_w, g.in_w, g.kernel_w, g.stride_w, g.dilate_w, g.pad_left);
  for (const Span& y : spans(g.out_h, g.in_h, g.kernel_h, g.stride_h, g.dilate_h, g.pad_top)) {
    for (const Span& x : columns) {
      Patch p{y.begin, x.begin, y.end - y.begin, x.end - x.begin, y.first_tap, y.end_tap, x.first_tap, x.end_tap, 0, {},
              {},      0};
      const int64_t in_y = y.begin * g.stride_h - g.pad_top + y.first_tap * g.dilate_h;
      const int64_t in_x = x.begin * g.stride_w - g.pad_left + x.first_tap * g.dilate_w;
      p.at = (in_y * g.in_w + in_x) * g.in_c;
      find_runs(g, &p);
      patches.push_back(std::move(p));
    }
  }
  return patches;
}

Walk::Walk(const ConvGeometry& g, const Patch& p, int64_t pixel)
    : width_(p.width), height_(p.height), step_(g.stride_w * g.in_c), x_(pixel % width_), y_(pixel / width_ % height_) {
  const int64_t in_row = g.stride_h * g.in_w * g.in_c, in_image = g.in_h * g.in_w * g.in_c;
  const int64_t image = pixel / width_ / height_;
  in_to_row_ = in_row - width_ * step_;
  out_to_row_ = g.out_w - width_;
  in_to_image_ = in_image - height_ * in_row;
  out_to_image_ = (g.out_h - height_) * g.out_w;
  in_ = p.at + image * in_image + y_ * in_row + x_ * step_;
  out_ = (image * g.out_h + p.y + y_) * g.out_w + p.x + x_;
}

}  // namespace mxq
