#include "lrn.h"

#include <limits>

#include "../core/check.h"
#include "shape_text.h"

namespace mxq {

LrnOp::LrnOp(const Attrs& attrs)
    : has_scale(attrs.has("in_scale")),
      in_zero_point(get_input_zero_point(attrs, "in_zero_point")),
      out(get_output_type(attrs)) {
  const int64_t nsize = attrs.get_int("nsize");
  if (nsize < 1 || nsize % 2 == 0 || nsize > (1 << 20)) attrs.fail("nsize", "an odd number of channels is accepted");
  reach = nsize / 2;
  const double alpha = attrs.get_float("alpha", 1e-4), beta = attrs.get_float("beta", 0.75);
  const double offset = attrs.get_float("knorm", 2.0), scale = attrs.get_scale("in_scale", 1.0f);
  if (alpha < 0) attrs.fail("alpha", "0 or more is accepted: the power of a negative number is none");
  if (!(static_cast<float>(offset) >= std::numeric_limits<float>::min()) || offset > 1e30) {
    attrs.fail("knorm", "a number above 0 and up to 1e30 is accepted: what is raised to a power must be positive");
  }
  if (!(beta >= -16 && beta <= 16)) attrs.fail("beta", "-16 to 16 is accepted");
  const double weight_ = alpha / static_cast<double>(nsize) * scale * scale;
  if (!(weight_ * 65025.0 * static_cast<double>(nsize) < 1e30)) attrs.fail("alpha", "too large for the input's scale");
  weight = static_cast<float>(weight_);
  knorm = static_cast<float>(offset);
  exponent = static_cast<float>(-beta);
  multiplier = checked_multiplier(attrs, "in_scale", scale / out.scale, 256.0);
}

void LrnOp::infer_types(std::vector<DType>* in, std::vector<DType>* types) const {
  const DType data = (*in)[0];
  if (data == DType::kFloat32) {
    MXQ_CHECK(!has_scale && in_zero_point == 0, "data is float32, which has no in_scale and no in_zero_point");
  } else {
    MXQ_CHECK(data == DType::kUnknown || is_8bit(data),
              "data is " << name_of(data) << "; accepted are int8, uint8 and float32");
    check_zero_point("data", "in_zero_point", in_zero_point, data);
  }
  (*types)[0] = out.dtype;
}

void LrnOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* shapes) const {
  MXQ_CHECK((*in)[0].size() >= 2, "data has shape " << shape_text((*in)[0]) << "; accepted is (N, spatial..., C)");
  (*shapes)[0] = (*in)[0];
}

OpEntry lrn_entry() {
  return {"mxq_lrn",
          [](const Attrs& attrs) -> std::unique_ptr<Op> { return std::make_unique<LrnOp>(attrs); },
          {{"avx", cpu_lrn}, {"ref", ref_lrn}}};
}

}  // namespace mxq
