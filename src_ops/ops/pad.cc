#include "pad.h"

#include <algorithm>

#include "../core/check.h"
#include "eight_bit.h"
#include "shape_text.h"

namespace mxq {

PadOp::PadOp(const Attrs& attrs) : value(get_input_zero_point(attrs, "value")) {
  const std::vector<int64_t> width = attrs.get_tuple("pad_width", {});
  if (width.empty() || width.size() % 2 != 0) {
    attrs.fail("pad_width", "a tuple (before, after) for each axis, one after another, is required");
  }
  for (size_t i = 0; i < width.size(); ++i) {
    if (width[i] < 0 || width[i] > (1 << 30)) attrs.fail("pad_width", "each must lie in [0, 2^30]");
    (i % 2 == 0 ? before : after).push_back(width[i]);
  }
  const std::string name = attrs.get_choice("mode", "constant", {"constant", "edge", "reflect"});
  mode = name == "edge" ? Mode::kEdge : name == "reflect" ? Mode::kReflect : Mode::kConstant;
}

void PadOp::infer_types(std::vector<DType>* in, std::vector<DType>* out) const {
  check_8bit("data", (*in)[0]);
  if (mode == Mode::kConstant) check_zero_point("data", "value", value, (*in)[0]);
  (*out)[0] = (*in)[0];
}

void PadOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const {
  Shape shape = (*in)[0];
  MXQ_CHECK(shape.size() == before.size(), "attribute pad_width has " << 2 * before.size() << " items; data of shape "
                                                                      << shape_text(shape) << " needs "
                                                                      << 2 * shape.size());
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] < 0) continue;
    const int64_t widest = std::max(before[i], after[i]);
    MXQ_CHECK(mode != Mode::kReflect || widest == 0 || widest < shape[i],
              "attribute pad_width: reflects " << widest << " values on axis " << i << ", which has " << shape[i]
                                               << "; accepted are up to " << shape[i] - 1);
    MXQ_CHECK(mode != Mode::kEdge || widest == 0 || shape[i] > 0,
              "attribute pad_width: axis " << i << " is empty and has no edge");
    shape[i] += before[i] + after[i];
  }
  (*out)[0] = shape;
}

int64_t PadOp::source(size_t axis, int64_t at, int64_t size) const {
  const int64_t i = at - before[axis];
  if (i >= 0 && i < size) return i;
  if (mode == Mode::kConstant) return -1;
  if (mode == Mode::kEdge) return i < 0 ? 0 : size - 1;
  return i < 0 ? -i : 2 * (size - 1) - i;
}

OpEntry pad_entry() {
  return {"mxq_pad",
          [](const Attrs& attrs) -> std::unique_ptr<Op> { return std::make_unique<PadOp>(attrs); },
          {{"avx", cpu_pad}, {"ref", ref_pad}}};
}

}  // namespace mxq
