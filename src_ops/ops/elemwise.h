#pragma once

#include <vector>

#include "../core/op.h"
#include "activation.h"
#include "eight_bit.h"

namespace mxq {

// a + b, a - b, a * b of 8-bit tensors, broadcast as numpy does.
//
//   add, sub: t = fl(fl(fl(qa - za) * fl(sa / so)) +- fl(fl(qb - zb) * fl(sb / so)))
//   mul:      t = fl(fl((qa - za) * (qb - zb)) * fl(sa * sb / so)), the product of integers exact
//   then the activation, then clamp(rint(t + zo)), or t itself where the output is float32.
class ElemwiseOp : public Op {
 public:
  enum class Kind { kAdd, kSub, kMul };

  ElemwiseOp(Kind kind, const Attrs& attrs);
  int num_inputs() const override { return 2; }
  void infer_types(std::vector<DType>* in, std::vector<DType>* out) const override;
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;

  Kind kind;
  int a_zero_point, b_zero_point;
  float a_multiplier, b_multiplier;  // of mul: both factors are in a_multiplier. sub: b_multiplier is negative
  OutputType out;
  Activation act;
};

// Both inputs read along the axes of the output, axes that behave alike merged. A stride of 0 repeats.
struct BroadcastAxes {
  std::vector<int64_t> size, a_stride, b_stride;
};
BroadcastAxes broadcast_axes(const Shape& a, const Shape& b);

KernelPtr ref_elemwise(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                       std::string* why_not);
KernelPtr cpu_elemwise(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                       std::string* why_not);

}  // namespace mxq
