#include "dequantize.h"

#include "../core/check.h"
#include "layout.h"

namespace mxq {
namespace {

bool is_8bit(DType dtype) { return dtype == DType::kInt8 || dtype == DType::kUint8; }

void need_float(DType* dtype, const char* name) {
  if (*dtype == DType::kUnknown) *dtype = DType::kFloat32;
  MXQ_CHECK(*dtype == DType::kFloat32, name << " is " << name_of(*dtype) << "; accepted is float32");
}

void need_one(Shape* shape, const char* name) {
  const bool fits = shape->size() == 1 && ((*shape)[0] == 1 || (*shape)[0] == -1);
  MXQ_CHECK(fits, name << " has " << num_elements(*shape) << " values in " << shape->size()
                       << " dimensions; expected shape (1,)");
  (*shape)[0] = 1;
}

}  // namespace

DequantizeOp::DequantizeOp(const Attrs& attrs) {
  const std::string kind = attrs.get_choice("ranges", "none", {"none", "tensor", "channel"});
  ranges = kind == "none" ? Ranges::kNone : kind == "tensor" ? Ranges::kTensor : Ranges::kChannel;
  channels_first = attrs.get_choice("layout", "keep", {"keep", "channels_first"}) == "channels_first";
  calibrated = ranges == Ranges::kNone && (attrs.has("min_calib_range") || attrs.has("max_calib_range"));
  if (calibrated) {
    lo = attrs.get_float("min_calib_range");
    hi = attrs.get_float("max_calib_range");
    if (lo > hi) attrs.fail("max_calib_range", "a number not below min_calib_range is accepted");
  } else if (ranges == Ranges::kNone) {
    if (!attrs.has("scale")) attrs.fail("min_calib_range", "give min_calib_range and max_calib_range, or scale");
    scale = attrs.get_scale("scale");
    zero_point = static_cast<int>(attrs.get_int("zero_point", 0));
  } else if (ranges == Ranges::kChannel) {
    axis = attrs.get_int("axis");
  }
  fine_steps = get_fine_steps(attrs);
  if (fine_steps > 1 && (!calibrated || channels_first)) {
    attrs.fail("fine_steps", "needs min_calib_range and max_calib_range, and layout=keep");
  }
}

void DequantizeOp::infer_types(std::vector<DType>* in, std::vector<DType>* out) const {
  const DType data = (*in)[0];
  const bool ranged = calibrated || ranges == Ranges::kTensor;
  MXQ_CHECK(data == DType::kUnknown || is_8bit(data) || (data == DType::kInt32 && !ranged),
            "data is " << name_of(data) << "; accepted are int8 and uint8"
                       << (ranged ? " (int32 with attribute scale, not with a range)" : " and int32"));
  if (ranges == Ranges::kNone && !calibrated && data != DType::kUnknown) {
    const bool fits = is_8bit(data) ? zero_point >= qmin(data) && zero_point <= qmax(data) : zero_point == 0;
    MXQ_CHECK(fits, "attribute zero_point=" << zero_point << ": must be a value of " << name_of(data)
                                            << ", the type of data (0 for int32)");
  }
  if (ranges == Ranges::kTensor) {
    need_float(&(*in)[1], "min");
    need_float(&(*in)[2], "max");
  } else if (ranges == Ranges::kChannel) {
    need_float(&(*in)[1], "scale");
  }
  (*out)[0] = DType::kFloat32;
}

void DequantizeOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const {
  const Shape& shape = (*in)[0];
  if (ranges == Ranges::kTensor) {
    need_one(&(*in)[1], "min");
    need_one(&(*in)[2], "max");
  } else if (ranges == Ranges::kChannel) {
    const int64_t channels = shape[axis_of(shape, axis)];
    Shape& scales = (*in)[1];
    MXQ_CHECK(scales.size() == 1, "scale has " << scales.size() << " dimensions; expected 1");
    if (scales[0] == -1) scales[0] = channels;
    MXQ_CHECK(channels == -1 || scales[0] == channels, "scale has " << scales[0] << " values; expected " << channels
                                                                    << ", the size of axis " << axis << " of data");
  }
  if (fine_steps > 1) {
    MXQ_CHECK(shape.size() >= 2 && (shape[1] < 0 || shape[1] % 2 == 0),
              "data must have an even number of channels in axis 1 where fine_steps is above 1");
    (*out)[0] = shape;
    if (shape[1] > 0) (*out)[0][1] /= 2;
    return;
  }
  (*out)[0] = channels_first ? channels_first_of(shape) : shape;
}

QParams DequantizeOp::qparams_of(const std::vector<Tensor>& in) const {
  if (calibrated) return range_to_qparams(lo, hi, in[0].dtype());
  if (ranges == Ranges::kTensor) return range_to_qparams(*in[1].as<float>(), *in[2].as<float>(), in[0].dtype());
  return {scale, zero_point};
}

OpEntry dequantize_entry() {
  return {"mxq_dequantize",
          [](const Attrs& attrs) -> std::unique_ptr<Op> { return std::make_unique<DequantizeOp>(attrs); },
          {{"avx", cpu_dequantize}, {"ref", ref_dequantize}}};
}

}  // namespace mxq
