#pragma once

#include <vector>

#include "../core/op.h"
#include "eight_bit.h"

namespace mxq {

// Joins tensors along axis `dim`. An input with the type, scale and zero point of the output is copied; the values of
// the others become clamp(rint(fl(fl(q - in_zero_point) * fl(in_scale / out_scale)) + out_zero_point)). With
// out_type=float32 all inputs are float32 and are copied.
class ConcatOp : public Op {
 public:
  explicit ConcatOp(const Attrs& attrs);
  int num_inputs() const override { return num_args; }
  void infer_types(std::vector<DType>* in, std::vector<DType>* out) const override;
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;

  bool is_part(int index, const std::vector<TensorType>& in, size_t* offset) const override;
  bool mixes_examples(const std::vector<TensorType>& in) const override;
  bool is_copy(int input, DType dtype) const;
  // What value q of an input becomes.
  int converted(int input, int q) const;

  int num_args;
  int64_t dim;
  std::vector<float> in_scales, multipliers;
  std::vector<int> in_zero_points;
  OutputType out;
};

KernelPtr ref_concat(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                     std::string* why_not);
KernelPtr cpu_concat(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                     std::string* why_not);

}  // namespace mxq
