#pragma once

#include "strided_copy.h"

namespace mxq {

// (N, ...) -> (N, K), of float32 too: it stands behind operators that end an int8 network. layout=channels_last: the
// input is (N, spatial..., C) and the output has the order of (N, C, spatial...).
class FlattenOp : public MoveOp {
 public:
  explicit FlattenOp(const Attrs& attrs)
      : channels_last(attrs.get_choice("layout", "", {"", "channels_last"}) == "channels_last") {}
  void infer_types(std::vector<DType>* in, std::vector<DType>* out) const override;
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;
  StridedCopy plan(const Shape& data) const override;

  bool channels_last;
};

}  // namespace mxq
