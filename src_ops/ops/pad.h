#pragma once

#include "../core/op.h"
#include "../core/qmath.h"

namespace mxq {

// Puts values around the tensor, on any axes: a constant (the integer itself), the nearest value (edge), or the mirror
// image around the outermost value (reflect).
class PadOp : public Op {
 public:
  enum class Mode { kConstant, kEdge, kReflect };

  explicit PadOp(const Attrs& attrs);
  int num_inputs() const override { return 1; }
  void infer_types(std::vector<DType>* in, std::vector<DType>* out) const override;
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;

  // The position of the input that position `at` of the output takes its value from; -1 for the constant.
  int64_t source(size_t axis, int64_t at, int64_t size) const;

  std::vector<int64_t> before, after;  // by axis
  Mode mode;
  int value;
};

KernelPtr ref_pad(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                  std::string* why_not);
KernelPtr cpu_pad(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                  std::string* why_not);

}  // namespace mxq
