#pragma once

#include "strided_copy.h"

namespace mxq {

// data[begin:end:step] by axis as Python and MXNet have it: None, negative positions and steps, positions past the
// ends.
class SliceOp : public MoveOp {
 public:
  struct Bound {
    bool given = false;
    int64_t value = 0;
  };
  // The positions start, start + step, ... of one axis.
  struct Range {
    int64_t start, count, step;
  };

  explicit SliceOp(const Attrs& attrs);
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;
  StridedCopy plan(const Shape& data) const override;
  bool is_cut(const Shape& data, size_t* offset) const override;
  bool mixes_examples(const std::vector<TensorType>& in) const override;

  std::vector<Bound> begin, end, step;  // for the first axes; the others are whole

 private:
  Range range(size_t axis, int64_t size) const;
};

}  // namespace mxq
