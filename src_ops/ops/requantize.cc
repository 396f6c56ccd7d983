#include "requantize.h"

#include "../core/check.h"

namespace mxq {
namespace {
const char* const kInputNames[] = {"acc", "min_x", "max_x", "weight_scale", "bias"};
}

RequantizeOp::RequantizeOp(const Attrs& attrs)
    : run_time(attrs.get_choice("ranges", "none", {"none", "tensor"}) == "tensor") {
  if (run_time) {
    out_type = attrs.get_dtype("out_type", "int8", {"int8", "uint8", "float32"});
    in_type = attrs.get_dtype("in_type", "int8", {"int8", "uint8"});
    no_bias = attrs.get_bool("no_bias", false);
    relu = attrs.get_choice("act", "none", {"none", "relu"}) == "relu";
    return;
  }
  out_type = attrs.get_dtype("out_type", "int8", {"int8", "uint8"});
  in_scale = attrs.get_scale("in_scale");
  in_zero_point = static_cast<int>(attrs.get_int("in_zero_point", 0));
  const double lo = attrs.get_float("min_calib_range"), hi = attrs.get_float("max_calib_range");
  if (lo > hi) attrs.fail("max_calib_range", "a number not below min_calib_range is accepted");
  qparams = range_to_qparams(lo, hi, out_type);
}

void RequantizeOp::infer_types(std::vector<DType>* in, std::vector<DType>* out) const {
  DType& data = (*in)[0];
  if (data == DType::kUnknown && run_time) data = DType::kInt32;
  if (run_time) {
    MXQ_CHECK(data == DType::kInt32, "acc is " << name_of(data) << "; accepted is int32");
    for (size_t i = 1; i < in->size(); ++i) {
      if ((*in)[i] == DType::kUnknown) (*in)[i] = DType::kFloat32;
      MXQ_CHECK((*in)[i] == DType::kFloat32, kInputNames[i] << " is " << name_of((*in)[i]) << "; accepted is float32");
    }
  } else if (data != DType::kUnknown) {
    const bool is_8bit = data == DType::kInt8 || data == DType::kUint8;
    MXQ_CHECK(is_8bit || data == DType::kInt32, "data is " << name_of(data) << "; accepted are int8, uint8 and int32");
    const bool fits = is_8bit ? in_zero_point >= qmin(data) && in_zero_point <= qmax(data) : in_zero_point == 0;
    MXQ_CHECK(fits, "attribute in_zero_point=" << in_zero_point << ": must be a value of " << name_of(data)
                                               << ", the type of data (0 for int32)");
  }
  (*out)[0] = out_type;
  for (size_t i = 1; i < out->size(); ++i) (*out)[i] = DType::kFloat32;
}

void RequantizeOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const {
  const Shape& data = (*in)[0];
  if (run_time) {
    MXQ_CHECK(!data.empty(), "acc has no dimensions; its last one must be the channels");
    for (size_t i = 1; i < in->size(); ++i) {
      Shape& shape = (*in)[i];
      const int64_t expected = i < 3 ? 1 : data.back();
      MXQ_CHECK(shape.size() == 1, kInputNames[i] << " has " << shape.size() << " dimensions; expected 1");
      if (shape[0] == -1) shape[0] = expected;
      MXQ_CHECK(expected == -1 || shape[0] == expected,
                kInputNames[i] << " has " << shape[0] << " values; expected " << expected);
    }
  }
  (*out)[0] = data;
  for (size_t i = 1; i < out->size(); ++i) (*out)[i] = {1};
}

void RequantizeOp::sum_scales(const std::vector<Tensor>& in, float* scales) const {
  const float lo = *in[1].as<float>(), hi = *in[2].as<float>();
  const QParams x = range_to_qparams(lo, hi, in_type);
  MXQ_CHECK(x.zero_point == 0, "the range of x is (" << lo << ", " << hi << "), which needs the zero point "
                                                     << x.zero_point << " as " << name_of(in_type)
                                                     << "; sums without a zero point need in_type=int8");
  for (int64_t c = 0; c < in[3].size(); ++c) scales[c] = x.scale * in[3].as<float>()[c];
}

OpEntry requantize_entry() {
  return {"mxq_requantize",
          [](const Attrs& attrs) -> std::unique_ptr<Op> { return std::make_unique<RequantizeOp>(attrs); },
          {{"avx", cpu_requantize}, {"ref", ref_requantize}}};
}

}  // namespace mxq
