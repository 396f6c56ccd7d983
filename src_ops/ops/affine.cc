#include "affine.h"

#include "../core/check.h"
#include "eight_bit.h"
#include "shape_text.h"

namespace mxq {
namespace {

void require_float(const char* what, DType* type) {
  if (*type == DType::kUnknown) *type = DType::kFloat32;
  MXQ_CHECK(*type == DType::kFloat32, what << " is " << name_of(*type) << "; expected float32");
}

// What a parameter becomes in units of the output.
float checked(const char* what, int64_t c, float value, double in_units) {
  const float result = static_cast<float>(in_units);
  MXQ_CHECK(std::isfinite(result),
            what << "[" << c << "] = " << value << " gives no finite float32 in units of the output");
  return result;
}

}  // namespace

AffineOp::AffineOp(const Attrs& attrs) : stage(parse_output_stage(attrs)), has_scale(attrs.has("in_scale")) {
  if (stage.sum != Sum::kNone) attrs.fail("sum", "must be none: mxq_affine has no residual");
  if (stage.out_type == DType::kInt32) attrs.fail("out_type", "int8, uint8 and float32 are accepted");
  if (stage.in_zero_point < qmin(DType::kInt8) || stage.in_zero_point > qmax(DType::kUint8)) {
    attrs.fail("in_zero_point", "a value of the input's type is accepted");
  }
}

void AffineOp::infer_types(std::vector<DType>* in, std::vector<DType>* out) const {
  const DType data = (*in)[0];
  if (data == DType::kFloat32) {
    MXQ_CHECK(!has_scale && stage.in_zero_point == 0, "data is float32, which has no in_scale and no in_zero_point");
  } else {
    MXQ_CHECK(data == DType::kUnknown || is_8bit(data),
              "data is " << name_of(data) << "; accepted are int8, uint8 and float32");
    check_zero_point("data", "in_zero_point", stage.in_zero_point, data);
  }
  require_float("scale", &(*in)[1]);
  require_float("shift", &(*in)[2]);
  if (has_slopes()) require_float("slope", &(*in)[3]);
  (*out)[0] = stage.out_type;
}

void AffineOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const {
  const Shape& data = (*in)[0];
  MXQ_CHECK(data.size() >= 2, "data has shape " << shape_text(data) << "; accepted is (N, spatial..., C)");
  unify_shape("scale", {data.back()}, &(*in)[1]);
  unify_shape("shift", {data.back()}, &(*in)[2]);
  if (has_slopes()) unify_shape("slope", {data.back()}, &(*in)[3]);
  (*out)[0] = data;
}

ChannelTerms AffineOp::terms(const std::vector<Tensor>& in) const {
  ChannelTerms terms;
  const int64_t channels = in[1].size();
  const float *scale = in[1].as<const float>(), *shift = in[2].as<const float>();
  for (int64_t c = 0; c < channels; ++c) {
    const double r = static_cast<double>(stage.in_scale) * scale[c] / stage.out_scale;
    terms.multiplier.push_back(checked("scale", c, scale[c], r));
    terms.bias.push_back(checked("shift", c, shift[c], static_cast<double>(shift[c]) / stage.out_scale));
  }
  if (stage.act == Act::kLeaky) terms.slope.assign(channels, stage.act_alpha);
  for (int64_t c = 0; has_slopes() && c < channels; ++c) {
    const float slope = in[3].as<const float>()[c];
    MXQ_CHECK(std::isfinite(slope), "slope[" << c << "] = " << slope << "; expected a finite number");
    terms.slope.push_back(slope);
  }
  return terms;
}

OpEntry affine_entry() {
  return {"mxq_affine",
          [](const Attrs& attrs) -> std::unique_ptr<Op> { return std::make_unique<AffineOp>(attrs); },
          {{"avx", cpu_affine}, {"ref", ref_affine}}};
}

}  // namespace mxq
