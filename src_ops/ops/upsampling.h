#pragma once

#include "strided_copy.h"

namespace mxq {

// Repeats every value `scale` times along the two spatial axes: MXNet's UpSampling with sample_type 'nearest'.
//   layout channels_last: (N, H, W, C); '': (N, C, H, W)
class UpsamplingOp : public MoveOp {
 public:
  explicit UpsamplingOp(const Attrs& attrs);
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;
  StridedCopy plan(const Shape& data) const override;

  int64_t scale;
  bool channels_last;
};

}  // namespace mxq
