#pragma once

#include "../core/host_device.h"
#include "../core/op.h"

namespace mxq {

// What one position of the output reads along an axis: two neighbours and their weights, which add up to 1 but for
// their rounding.
struct ResizeTap {
  int64_t low, high;
  float low_weight, high_weight;
};

// One spatial axis, as MXNet 1.9.1 computes it on processors:
//   align_corners: step = fl((in - 1) / (out - 1)), x = fl(step * o)
//   otherwise:     step = fl(in / out),             x = fl(step * (o + 0.5) - 0.5), 0 where that is below 0
//   low = trunc(x), high = low + 1 where there is one, else low
//   high_weight = fl(x - low), low_weight = fl(1 - high_weight)
// An output of one position reads the first (step = 0).
struct ResizeAxis {
  int64_t in, out;
  float step;
  bool align_corners;

  ResizeAxis(int64_t in, int64_t out, bool align_corners) : in(in), out(out), step(0), align_corners(align_corners) {
    if (out > 1) step = align_corners ? static_cast<float>(in - 1) / (out - 1) : static_cast<float>(in) / out;
  }

  MXQ_HOST_DEVICE ResizeTap tap(int64_t o) const {
    float x = step * static_cast<float>(o);
    if (!align_corners) {  // in double there is nothing to round but the result
      x = static_cast<float>(static_cast<double>(step) * (static_cast<double>(o) + 0.5) - 0.5);
      x = x < 0.0f ? 0.0f : x;
    }
    const int64_t low = static_cast<int64_t>(x);
    const float weight = x - static_cast<float>(low);
    return {low, low < in - 1 ? low + 1 : low, 1.0f - weight, weight};
  }
};

// a and b, weighted: two products and a sum, each rounded to float32.
MXQ_HOST_DEVICE inline float blend(float a, float b, float a_weight, float b_weight) {
  const float left = a_weight * a, right = b_weight * b;
  return left + right;
}

// `planes` images of h.in x w.in pixels, each of `channels` values: the planes of channels-first data have one.
struct ResizeGeometry {
  int64_t planes, channels;
  ResizeAxis h, w;
  bool is_copy() const { return h.in == h.out && w.in == w.out; }
};

// Bilinear interpolation, as MXNet's BilinearResize2D with mode 'size'.
//   layout: channels_last: (N, H, W, C); '': (N, C, H, W)
//   height, width: of the output; or scale_height, scale_width: the output has trunc(fl(scale * size))
//
//   upper = fl(fl(wl * a) + fl(wh * b)), a and b the neighbours in the upper row; `lower` likewise in the row below
//   t     = fl(fl(hl * upper) + fl(hh * lower)), the weights as ResizeAxis has them
//
// float32 data gives t. 8-bit data gives clamp(rint(t)) of the integers as they are stored: the weights add up to 1,
// so type, scale and zero point of the output are those of the input. An output of the input's size is a copy.
class ResizeOp : public Op {
 public:
  explicit ResizeOp(const Attrs& attrs);
  int num_inputs() const override { return 1; }
  void infer_types(std::vector<DType>* in, std::vector<DType>* out) const override;
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;
  bool is_view(const Shape& data) const override { return geometry(data).is_copy(); }

  // Data with every dimension known.
  ResizeGeometry geometry(const Shape& data) const;

 private:
  int64_t output_size(int axis, int64_t in) const;  // axis: 0 height, 1 width

  bool by_scale, align_corners, channels_last;
  int64_t size[2];
  float scale[2];
};

KernelPtr ref_resize(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                     std::string* why_not);
KernelPtr cpu_resize(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                     std::string* why_not);

}  // namespace mxq
