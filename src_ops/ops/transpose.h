#pragma once

#include "strided_copy.h"

namespace mxq {

// Axis i of the output is axis axes[i] of the input; without axes the order is reversed.
class TransposeOp : public MoveOp {
 public:
  explicit TransposeOp(const Attrs& attrs) : axes(attrs.get_tuple("axes", {})) {}
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;
  StridedCopy plan(const Shape& data) const override;

  std::vector<int64_t> axes;

 private:
  std::vector<int64_t> order(size_t rank) const;
};

}  // namespace mxq
