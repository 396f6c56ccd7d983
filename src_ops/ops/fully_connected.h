// mxq_fully_connected: int8 matrix product with the weight's rows. See output_stage.h for the arithmetic.
//   inputs: data (N, ...) int8|uint8; weight (O, K) int8; weight_scale (O,) float32; bias (O,) int32 unless no_bias;
//           slope (O,) float32 if act=prelu; residual (as output) int8|uint8 if sum
//   flatten: K is the product of all but the first axis, output (N, O). Otherwise K is the last axis, output (..., O).
#pragma once

#include <string>
#include <vector>

#include "conv.h"

namespace mxq {

struct FullyConnectedOp : LinearOp {
  int64_t num_hidden;
  bool flatten;

  ConvGeometry geometry(const Shape& data) const override;
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;
};

KernelPtr cpu_fully_connected_onednn(const Op& op, const std::vector<TensorType>& in,
                                     const std::vector<TensorType>& out, std::string* why_not);

OpEntry fully_connected_entry();

}  // namespace mxq
