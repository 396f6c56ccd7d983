#pragma once

#include "../core/op.h"
#include "../core/qmath.h"

namespace mxq {

// Integers of one scale -> 8 bit of another.
//
//   ranges=none:    inputs data (int8, uint8 or int32); scales are attributes:
//                   q = round_clamp(float32(x - in_zero_point) * M(in_scale, out_scale))
//   ranges=tensor:  inputs acc (int32, channels last), min_x (1,), max_x (1,), weight_scale (C,), [bias float32 (C,)]:
//                   the sums of a convolution whose scales are known at run time only.
//                   real = float32(acc) * (scale_x * weight_scale[c]) + bias[c], then act; each step in float32.
//                   The output is quantized with the range that `real` turns out to have: outputs q, min (1,), max
//                   (1,). out_type=float32: one output, `real` itself.
class RequantizeOp : public Op {
 public:
  explicit RequantizeOp(const Attrs& attrs);

  int num_inputs() const override { return !run_time ? 1 : no_bias ? 4 : 5; }
  int num_outputs() const override { return run_time && out_type != DType::kFloat32 ? 3 : 1; }
  void infer_types(std::vector<DType>* in, std::vector<DType>* out) const override;
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;

  // float32 units of the sums: scale_x * weight_scale[c]. Throws where the run-time range needs a zero point.
  void sum_scales(const std::vector<Tensor>& in, float* scales) const;

  bool run_time;
  DType out_type;
  QParams qparams{1.0f, 0};  // of the output, where calibrated
  float in_scale = 1.0f;
  int in_zero_point = 0;
  DType in_type = DType::kInt8;  // of x, run time only
  bool no_bias = true;
  bool relu = false;
};

KernelPtr ref_requantize(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                         std::string* why_not);
KernelPtr cpu_requantize(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                         std::string* why_not);

}  // namespace mxq
