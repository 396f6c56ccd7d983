#include "concat.h"

#include <limits>

#include "../core/check.h"
#include "shape_text.h"

namespace mxq {

ConcatOp::ConcatOp(const Attrs& attrs) : out(get_output_type(attrs)) {
  const int64_t count = attrs.get_int("num_args");
  if (count < 1 || count > 4096) attrs.fail("num_args", "must lie in [1, 4096]");
  num_args = static_cast<int>(count);
  dim = attrs.get_int("dim", 1);
  const std::vector<double> scales = attrs.get_floats("in_scales", std::vector<double>(count, out.scale));
  const std::vector<int64_t> zeros = attrs.get_tuple("in_zero_points", std::vector<int64_t>(count, out.zero_point));
  const std::string each = "must have num_args=" + std::to_string(count) + " items, ";
  if (static_cast<int64_t>(scales.size()) != count) attrs.fail("in_scales", each + "one for each input");
  if (static_cast<int64_t>(zeros.size()) != count) attrs.fail("in_zero_points", each + "one for each input");
  for (int i = 0; i < num_args; ++i) {
    const float scale = static_cast<float>(scales[i]);
    if (!(scale >= std::numeric_limits<float>::min()) || !std::isfinite(scale)) {
      attrs.fail("in_scales", "a scale must be a finite normal float32 greater than 0");
    }
    if (zeros[i] < qmin(DType::kInt8) || zeros[i] > qmax(DType::kUint8)) {
      attrs.fail("in_zero_points", "each must be a value of the input's type");
    }
    in_scales.push_back(scale);
    in_zero_points.push_back(static_cast<int>(zeros[i]));
    multipliers.push_back(checked_multiplier(attrs, "in_scales", static_cast<double>(scale) / out.scale, 512.0));
  }
}

void ConcatOp::infer_types(std::vector<DType>* in, std::vector<DType>* types) const {
  for (int i = 0; i < num_args; ++i) {
    const std::string name = "input " + std::to_string(i);
    if (out.dtype == DType::kFloat32) {
      MXQ_CHECK((*in)[i] == DType::kFloat32 || (*in)[i] == DType::kUnknown,
                name << " is " << name_of((*in)[i]) << "; accepted is float32, as attribute out_type says");
      MXQ_CHECK(in_scales[i] == 1.0f && in_zero_points[i] == 0,
                "float32 has no scale: in_scales and in_zero_points must be 1 and 0 where out_type is float32");
      continue;
    }
    check_8bit(name, (*in)[i]);
    check_zero_point(name, "in_zero_points (item " + std::to_string(i) + ")", in_zero_points[i], (*in)[i]);
  }
  (*types)[0] = out.dtype;
}

void ConcatOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* shapes) const {
  Shape joined = (*in)[0];
  const int64_t rank = static_cast<int64_t>(joined.size());
  MXQ_CHECK(dim >= -rank && dim < rank, "attribute dim=" << dim << ": must lie in [" << -rank << ", " << rank - 1
                                                         << "], as input 0 has shape " << shape_text(joined));
  const int64_t axis = dim < 0 ? dim + rank : dim;
  joined[axis] = 0;
  for (int i = 0; i < num_args; ++i) {
    const Shape& shape = (*in)[i];
    bool fits = shape.size() == joined.size();
    for (int64_t k = 0; fits && k < rank; ++k) {
      if (k == axis) continue;
      if (joined[k] < 0) joined[k] = shape[k];
      fits = shape[k] < 0 || shape[k] == joined[k];
    }
    MXQ_CHECK(fits, "input " << i << " has shape " << shape_text(shape) << ", which does not match input 0, of shape "
                             << shape_text((*in)[0]) << ", outside axis " << axis);
    joined[axis] = joined[axis] < 0 || shape[axis] < 0 ? -1 : joined[axis] + shape[axis];
  }
  for (Shape& shape : *in) {
    for (int64_t k = 0; k < rank; ++k) {
      if (k != axis && shape[k] < 0) shape[k] = joined[k];
    }
  }
  (*shapes)[0] = joined;
}

bool ConcatOp::is_part(int index, const std::vector<TensorType>& in, size_t* offset) const {
  const int64_t last = static_cast<int64_t>(in[0].shape.size()) - 1;
  if ((dim < 0 ? dim + last + 1 : dim) != last || !is_copy(index, in[index].dtype)) return false;
  *offset = 0;
  for (int i = 0; i < index; ++i) *offset += in[i].shape[last] * size_of(in[i].dtype);
  return true;
}

bool ConcatOp::mixes_examples(const std::vector<TensorType>& in) const {
  return num_args > 1 && (dim == 0 || dim == -static_cast<int64_t>(in[0].shape.size()));
}

bool ConcatOp::is_copy(int input, DType dtype) const {
  return dtype == out.dtype && in_scales[input] == out.scale && in_zero_points[input] == out.zero_point;
}

int ConcatOp::converted(int input, int q) const {
  const float t = static_cast<float>(q - in_zero_points[input]) * multipliers[input];
  return round_clamp(t, out.zero_point, qmin(out.dtype), qmax(out.dtype));
}

OpEntry concat_entry() {
  return {"mxq_concat",
          [](const Attrs& attrs) -> std::unique_ptr<Op> { return std::make_unique<ConcatOp>(attrs); },
          {{"avx", cpu_concat}, {"ref", ref_concat}}};
}

}  // namespace mxq
