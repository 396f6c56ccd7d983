#pragma once

#include "strided_copy.h"

namespace mxq {

// Axis i of the output is axis axes[i] of the input; without axes the order is reversed. Also of float32, so that a
// float output of int8 operators gets its channels first without leaving them.
class TransposeOp : public MoveOp {
 public:
  explicit TransposeOp(const Attrs& attrs) : axes(attrs.get_tuple("axes", {})) {}
  void infer_types(std::vector<DType>* in, std::vector<DType>* out) const override;
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;
  StridedCopy plan(const Shape& data) const override;

  std::vector<int64_t> axes;

 private:
  std::vector<int64_t> order(size_t rank) const;
};

}  // namespace mxq
