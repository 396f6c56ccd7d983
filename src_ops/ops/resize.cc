#include "resize.h"

#include "../core/check.h"
#include "eight_bit.h"
#include "shape_text.h"

namespace mxq {
namespace {

constexpr int64_t kLargest = 32767;  // MXNet keeps the sizes in 16 bits
const char* const kSize[2] = {"height", "width"};
const char* const kScale[2] = {"scale_height", "scale_width"};

}  // namespace

ResizeOp::ResizeOp(const Attrs& attrs)
    : by_scale(attrs.has(kScale[0]) || attrs.has(kScale[1])),
      align_corners(attrs.get_bool("align_corners", true)),
      channels_last(attrs.get_choice("layout", "", {"", "channels_last"}) != ""),
      size{0, 0},
      scale{0, 0} {
  for (int axis = 0; axis < 2; ++axis) {
    if (by_scale) {
      if (attrs.has(kSize[axis])) attrs.fail(kSize[axis], "cannot stand beside scale_height and scale_width");
      scale[axis] = attrs.get_scale(kScale[axis]);
    } else {
      size[axis] = attrs.get_int(kSize[axis]);
      if (size[axis] < 1 || size[axis] > kLargest) attrs.fail(kSize[axis], "1 to 32767 is accepted");
    }
  }
}

void ResizeOp::infer_types(std::vector<DType>* in, std::vector<DType>* out) const {
  const DType data = (*in)[0];
  MXQ_CHECK(data == DType::kUnknown || data == DType::kFloat32 || is_8bit(data),
            "data is " << name_of(data) << "; accepted are int8, uint8 and float32");
  (*out)[0] = data;
}

void ResizeOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const {
  Shape shape = (*in)[0];
  MXQ_CHECK(shape.size() == 4, "data has shape " << shape_text(shape) << "; accepted is "
                                                 << (channels_last ? "(N, H, W, C)" : "(N, C, H, W)"));
  for (int axis = 0; axis < 2; ++axis) {
    int64_t& n = shape[(channels_last ? 1 : 2) + axis];
    MXQ_CHECK(n != 0, "data has shape " << shape_text((*in)[0]) << ": there is no pixel to resize");
    n = output_size(axis, n);
  }
  (*out)[0] = shape;
}

int64_t ResizeOp::output_size(int axis, int64_t in) const {
  if (!by_scale) return size[axis];
  if (in < 0) return in;
  const float n = scale[axis] * static_cast<float>(in);
  MXQ_CHECK(n >= 1 && n < kLargest + 1, "attribute " << kScale[axis] << "=" << scale[axis] << ": data of "
                                                     << kSize[axis] << " " << in << " would become " << n
                                                     << "; 1 to 32767 is accepted");
  return static_cast<int64_t>(n);
}

ResizeGeometry ResizeOp::geometry(const Shape& data) const {
  const int64_t h = data[channels_last ? 1 : 2], w = data[channels_last ? 2 : 3];
  return {channels_last ? data[0] : data[0] * data[1], channels_last ? data[3] : 1,
          ResizeAxis(h, output_size(0, h), align_corners), ResizeAxis(w, output_size(1, w), align_corners)};
}

OpEntry resize_entry() {
  return {"mxq_resize",
          [](const Attrs& attrs) -> std::unique_ptr<Op> { return std::make_unique<ResizeOp>(attrs); },
          {{"avx", cpu_resize}, {"ref", ref_resize}}};
}

}  // namespace mxq
