#include "upsampling.h"

#include "../core/check.h"
#include "shape_text.h"

namespace mxq {

UpsamplingOp::UpsamplingOp(const Attrs& attrs)
    : scale(attrs.get_int("scale")), channels_last(attrs.get_choice("layout", "", {"", "channels_last"}) != "") {
  if (scale < 1 || scale > (1 << 16)) attrs.fail("scale", "1 or more is accepted");
}

void UpsamplingOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const {
  Shape shape = (*in)[0];
  MXQ_CHECK(shape.size() == 4, "data has shape " << shape_text(shape) << "; accepted is "
                                                 << (channels_last ? "(N, H, W, C)" : "(N, C, H, W)"));
  for (size_t axis = channels_last ? 1 : 2, i = 0; i < 2; ++i, ++axis) {
    if (shape[axis] >= 0) shape[axis] *= scale;
  }
  (*out)[0] = shape;
}

StridedCopy UpsamplingOp::plan(const Shape& data) const {
  const size_t first = channels_last ? 1 : 2;
  const std::vector<int64_t> from = dense_strides(data);
  Shape wide;  // the output, with an axis more for the copies behind each spatial one
  for (size_t i = 0; i < data.size(); ++i) {
    wide.push_back(data[i]);
    if (i == first || i == first + 1) wide.push_back(scale);
  }
  const std::vector<int64_t> to = dense_strides(wide);
  StridedCopy copy;
  for (size_t i = 0, k = 0; i < data.size(); ++i) {
    copy.add_axis(wide[k], from[i], to[k]);
    ++k;
    if (i == first || i == first + 1) {
      copy.add_axis(scale, 0, to[k]);
      ++k;
    }
  }
  return copy;
}

OpEntry upsampling_entry() {
  return {"mxq_upsampling",
          [](const Attrs& attrs) -> std::unique_ptr<Op> { return std::make_unique<UpsamplingOp>(attrs); },
          {{"avx", cpu_strided_copy}, {"ref", ref_strided_copy}}};
}

}  // namespace mxq
