// mxq_affine: a scale, a shift and an activation with parameters for each channel, of channels-last data: a BatchNorm
// that could not fold, a PReLU that no layer takes along.
//   inputs: data (N, spatial..., C) int8|uint8|float32; scale (C,) float32; shift (C,) float32;
//           slope (C,) float32 if act=prelu
//
//   with r[c] = in_scale * scale[c] / out_scale in double, and v = fl(q - in_zero_point), or float32 data as it is:
//     t = fl(v * fl(r[c]))
//     t = fl(t + fl(shift[c] / out_scale))
//   then the activation and the rounding of output_stage.h
#pragma once

#include <string>
#include <vector>

#include "../core/op.h"
#include "output_stage.h"

namespace mxq {

class AffineOp : public Op {
 public:
  explicit AffineOp(const Attrs& attrs);
  int num_inputs() const override { return has_slopes() ? 4 : 3; }
  void infer_types(std::vector<DType>* in, std::vector<DType>* out) const override;
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;

  bool has_slopes() const { return stage.act == Act::kPrelu; }
  // multiplier, bias and slope of each channel; throws Error for what is not finite.
  ChannelTerms terms(const std::vector<Tensor>& in) const;

  OutputStage stage;  // without a sum
  bool has_scale;     // of the data
};

KernelPtr ref_affine(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                     std::string* why_not);
KernelPtr cpu_affine(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                     std::string* why_not);

}  // namespace mxq
