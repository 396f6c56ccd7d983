// Rules that every operator on 8-bit tensors shares: types, zero points and multipliers of its inputs and output.
#pragma once

#include <cmath>
#include <string>

#include "../core/attrs.h"
#include "../core/check.h"
#include "../core/qmath.h"

namespace mxq {

inline bool is_8bit(DType dtype) { return dtype == DType::kInt8 || dtype == DType::kUint8; }

inline void check_8bit(const std::string& what, DType dtype) {
  MXQ_CHECK(dtype == DType::kUnknown || is_8bit(dtype),
            what << " is " << name_of(dtype) << "; accepted are int8 and uint8 (put mxq_quantize_v2 before it)");
}

// The type of an input is known only after parsing, so its zero point is checked twice.
inline int get_input_zero_point(const Attrs& attrs, const std::string& key) {
  const int64_t value = attrs.get_int(key, 0);
  if (value < qmin(DType::kInt8) || value > qmax(DType::kUint8))
    attrs.fail(key, "a value of the input's type is accepted");
  return static_cast<int>(value);
}

inline void check_zero_point(const std::string& what, const std::string& key, int zero_point, DType dtype) {
  MXQ_CHECK(!is_8bit(dtype) || (zero_point >= qmin(dtype) && zero_point <= qmax(dtype)),
            "attribute " << key << "=" << zero_point << ": must be a value of " << name_of(dtype) << ", the type of "
                         << what);
}

// A multiplier for integers up to `largest`. No product may overflow: sums of infinities are no numbers.
inline float checked_multiplier(const Attrs& attrs, const std::string& key, double ratio, double largest) {
  if (!(ratio * largest < 1e38)) attrs.fail(key, "too large for the scale of the output");
  return static_cast<float>(ratio);
}

inline int read_8bit(const Tensor& tensor, int64_t i) {
  return tensor.dtype() == DType::kInt8 ? tensor.as<int8_t>()[i] : tensor.as<uint8_t>()[i];
}

inline void write_8bit(const Tensor& tensor, int64_t i, int value) {
  tensor.as<uint8_t>()[i] = static_cast<uint8_t>(value);
}

// How an operator that computes a value writes it.
struct OutputType {
  DType dtype = DType::kInt8;
  float scale = 1.0f;
  int zero_point = 0;
};

// Reads out_type, out_scale and out_zero_point. A float32 output is the real value, so it has no scale of its own.
inline OutputType get_output_type(const Attrs& attrs) {
  OutputType out;
  out.dtype = attrs.get_dtype("out_type", "int8", {"int8", "uint8", "float32"});
  out.scale = attrs.get_scale("out_scale", 1.0f);
  if (out.dtype == DType::kFloat32 && out.scale != 1.0f) attrs.fail("out_scale", "must be 1 where out_type is float32");
  out.zero_point = attrs.get_zero_point("out_zero_point", out.dtype);
  return out;
}

// t is in units of the output's scale.
inline void write_value(const Tensor& tensor, int64_t i, float t, int zero_point) {
  const DType dtype = tensor.dtype();
  if (dtype == DType::kFloat32) {
    tensor.as<float>()[i] = t;
  } else {
    write_8bit(tensor, i, round_clamp(t, zero_point, qmin(dtype), qmax(dtype)));
  }
}

}  // namespace mxq
