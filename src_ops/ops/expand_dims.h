#pragma once

#include "strided_copy.h"

namespace mxq {

// Puts an axis of size 1 before `axis`; negative values count from the end of the output.
class ExpandDimsOp : public MoveOp {
 public:
  explicit ExpandDimsOp(const Attrs& attrs) : axis(attrs.get_int("axis")) {}
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;
  StridedCopy plan(const Shape& data) const override;

  int64_t axis;
};

}  // namespace mxq
