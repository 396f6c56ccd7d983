#include "slice.h"

#include <algorithm>
#include <limits>

#include "../core/check.h"
#include "shape_text.h"

namespace mxq {
namespace {

constexpr int64_t kFar = int64_t{1} << 40;  // further than any position

// A tuple in which None stands for "not given".
std::vector<SliceOp::Bound> get_bounds(const Attrs& attrs, const std::string& key) {
  std::string text = attrs.get_string(key, "()");
  const std::string none = "None", marker = std::to_string(std::numeric_limits<int64_t>::min());
  for (size_t at = text.find(none); at != std::string::npos; at = text.find(none, at)) {
    text.replace(at, none.size(), marker);
  }
  std::vector<int64_t> values;
  try {
    values = Attrs(attrs.op_name(), {{key, text}}).get_tuple(key, {});
  } catch (const Error&) {
    attrs.fail(key, "a tuple of integers and None such as (0, None, -1) is accepted");
  }
  std::vector<SliceOp::Bound> bounds;
  for (int64_t v : values) {
    const bool given = v != std::numeric_limits<int64_t>::min();
    bounds.push_back({given, given ? std::min(std::max(v, -kFar), kFar) : 0});
  }
  return bounds;
}

}  // namespace

SliceOp::SliceOp(const Attrs& attrs)
    : begin(get_bounds(attrs, "begin")), end(get_bounds(attrs, "end")), step(get_bounds(attrs, "step")) {
  if (begin.empty()) attrs.fail("begin", "a tuple of 1 or more integers or None is required");
  if (end.size() != begin.size()) attrs.fail("end", "must have as many items as begin");
  if (!step.empty() && step.size() != begin.size()) attrs.fail("step", "must be empty or have as many items as begin");
  for (const Bound& s : step) {
    if (s.given && s.value == 0) attrs.fail("step", "0 is not accepted");
  }
}

SliceOp::Range SliceOp::range(size_t axis, int64_t size) const {
  if (axis >= begin.size()) return {0, size, 1};
  const int64_t by = !step.empty() && step[axis].given ? step[axis].value : 1;
  // The first and one past the last position that a walk in this direction can have.
  const int64_t first = by > 0 ? 0 : size - 1, past = by > 0 ? size : -1;
  auto position = [&](const Bound& bound, int64_t otherwise) {
    if (!bound.given) return otherwise;
    const int64_t at = bound.value < 0 ? bound.value + size : bound.value;
    return std::min(std::max(at, std::min(first, past)), std::max(first, past));
  };
  const int64_t from = position(begin[axis], first), to = position(end[axis], past);
  const int64_t distance = by > 0 ? to - from : from - to, stride = by > 0 ? by : -by;
  const int64_t count = distance > 0 ? (distance - 1) / stride + 1 : 0;
  return {from, count, count > 1 ? by : 1};  // a single position has no next one, however far
}

void SliceOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const {
  const Shape& data = (*in)[0];
  MXQ_CHECK(begin.size() <= data.size(), "attribute begin has " << begin.size() << " items; accepted are up to "
                                                                << data.size() << ", the number of dimensions of data");
  Shape shape = data;
  for (size_t i = 0; i < begin.size(); ++i) {
    if (data[i] < 0) continue;
    shape[i] = range(i, data[i]).count;
    MXQ_CHECK(shape[i] > 0, "begin, end and step select nothing on axis "
                                << i << " of data of shape " << shape_text(data)
                                << "; a result without values is not accepted");
  }
  (*out)[0] = shape;
}

StridedCopy SliceOp::plan(const Shape& data) const {
  const std::vector<int64_t> from = dense_strides(data);
  Shape shape;
  for (size_t i = 0; i < data.size(); ++i) shape.push_back(range(i, data[i]).count);
  const std::vector<int64_t> to = dense_strides(shape);
  StridedCopy copy;
  for (size_t i = 0; i < data.size(); ++i) {
    const Range r = range(i, data[i]);
    copy.src_offset += r.start * from[i];
    copy.add_axis(r.count, from[i] * r.step, to[i]);
  }
  return copy;
}

bool SliceOp::is_cut(const Shape& data, size_t* offset) const {
  const size_t last = data.size() - 1;
  for (size_t i = 0; i < data.size(); ++i) {
    const Range r = range(i, data[i]);
    if (r.step != 1 || r.count < 1 || (i < last && r.count != data[i])) return false;
    if (i == last) *offset = static_cast<size_t>(r.start);  // of 8-bit values
  }
  return true;
}

bool SliceOp::mixes_examples(const std::vector<TensorType>&) const {
  return !step.empty() && step[0].given && step[0].value != 1;
}

OpEntry slice_entry() {
  return {"mxq_slice",
          [](const Attrs& attrs) -> std::unique_ptr<Op> { return std::make_unique<SliceOp>(attrs); },
          {{"avx", cpu_strided_copy}, {"ref", ref_strided_copy}}};
}

}  // namespace mxq
