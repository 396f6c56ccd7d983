#pragma once

#include "strided_copy.h"

namespace mxq {

// MXNet's reshape with its special codes 0, -1, -2, -3, -4. layout=channels_last: the input is (N, spatial..., C); it
// is brought into the order of (N, C, spatial...) first, and the target is meant for that.
class ReshapeOp : public MoveOp {
 public:
  explicit ReshapeOp(const Attrs& attrs);
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;
  StridedCopy plan(const Shape& data) const override;

  std::vector<int64_t> target;
  bool channels_last;
};

// The shape that `target` gives for data of shape `from`; unknown dimensions are -1 on both sides.
Shape reshaped(const Shape& from, const std::vector<int64_t>& target);

}  // namespace mxq
