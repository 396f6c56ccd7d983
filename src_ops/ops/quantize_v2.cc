#include "quantize_v2.h"

#include "../core/check.h"
#include "layout.h"

namespace mxq {

QuantizeV2Op::QuantizeV2Op(const Attrs& attrs)
    : out_type(attrs.get_dtype("out_type", "int8", {"int8", "uint8"})),
      calibrated(attrs.has("min_calib_range") || attrs.has("max_calib_range")),
      channels_last(attrs.get_choice("layout", "keep", {"keep", "channels_last"}) == "channels_last"),
      in_scale(attrs.get_scale("in_scale", 1.0f)),
      in_zero_point(static_cast<int>(attrs.get_int("in_zero_point", 0))),
      fine_steps(get_fine_steps(attrs)),
      axis(attrs.get_int("axis", 1)),
      scalars(get_scalars(attrs)) {
  if (in_zero_point < qmin(DType::kInt8) || in_zero_point > qmax(DType::kUint8)) {
    attrs.fail("in_zero_point", "a value of the input's type is accepted");
  }
  if (scalars.count && !calibrated) attrs.fail("scalars", "needs min_calib_range and max_calib_range");
  if (fine_steps > 1 && !calibrated) attrs.fail("fine_steps", "needs min_calib_range and max_calib_range");
  if (axis != 1 && (axis != -1 || channels_last)) {
    attrs.fail("axis", channels_last ? "must be 1 where layout is channels_last" : "must be 1 or -1");
  }
  if (!calibrated) return;
  const double lo = attrs.get_float("min_calib_range"), hi = attrs.get_float("max_calib_range");
  if (lo > hi) attrs.fail("max_calib_range", "a number not below min_calib_range is accepted");
  qparams = range_to_qparams(lo, hi, out_type);
}

void QuantizeV2Op::infer_types(std::vector<DType>* in, std::vector<DType>* out) const {
  DType& data = (*in)[0];
  if (data == DType::kUnknown) data = DType::kFloat32;
  MXQ_CHECK(data == DType::kFloat32 || data == DType::kInt8 || data == DType::kUint8,
            "data is " << name_of(data) << "; accepted are float32, int8 and uint8");
  MXQ_CHECK(fine_steps == 1 || data == DType::kFloat32,
            "attribute fine_steps=" << fine_steps << ": data must be float32, and is " << name_of(data));
  MXQ_CHECK(scalars.count == 0 || data == DType::kFloat32,
            "attribute scalars: data must be float32, and is " << name_of(data));
  if (data != DType::kFloat32) {
    MXQ_CHECK(in_zero_point >= qmin(data) && in_zero_point <= qmax(data),
              "attribute in_zero_point=" << in_zero_point << ": must be a value of " << name_of(data)
                                         << ", the type of data");
    if (!calibrated) {
      MXQ_CHECK(data == out_type, "data is " << name_of(data)
                                             << " and has no calibrated range, so that it passes through; "
                                             << "accepted is out_type=" << name_of(data));
      MXQ_CHECK(data == DType::kUint8 || in_zero_point == 0,
                "attribute in_zero_point=" << in_zero_point << ": must be 0 for int8 data without a calibrated range");
    }
  }
  (*out)[0] = out_type;
  for (size_t i = 1; i < out->size(); ++i) (*out)[i] = DType::kFloat32;
}

void QuantizeV2Op::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const {
  Shape shape = (*in)[0];
  if (fine_steps > 1) {
    int64_t& channels = shape[axis_of(shape, axis)];
    if (channels > 0) channels *= 2;
  }
  (*out)[0] = channels_last ? channels_last_of(shape) : shape;
  for (size_t i = 1; i < out->size(); ++i) (*out)[i] = {1};
}

void range_of_type(DType dtype, float scale, int zero_point, float* lo, float* hi) {
  const int bottom = dtype == DType::kInt8 ? -qmax(dtype) : qmin(dtype);
  *lo = static_cast<float>(bottom - zero_point) * scale;
  *hi = static_cast<float>(qmax(dtype) - zero_point) * scale;
}

OpEntry quantize_v2_entry() {
  return {"mxq_quantize_v2",
          [](const Attrs& attrs) -> std::unique_ptr<Op> { return std::make_unique<QuantizeV2Op>(attrs); },
          {{"avx", cpu_quantize_v2}, {"ref", ref_quantize_v2}}};
}

}  // namespace mxq
