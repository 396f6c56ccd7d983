#pragma once

#include "../core/op.h"

namespace mxq {

// Any function of one 8-bit value: out = table[q + 128] for int8, table[q] for uint8. The output has the type of the
// table.
//
//   inputs data, table (256,) or (C, 256): one row for each position along `axis` of data
//
// in_type=int8|uint8 says which type the table was made for, so that data of the other type is refused instead of being
// read at the wrong entries. layout=channels_last turns (N, C, spatial...) into (N, spatial..., C); `axis` is that of
// the input.
class LutOp : public Op {
 public:
  explicit LutOp(const Attrs& attrs);

  int num_inputs() const override { return 2; }
  void infer_types(std::vector<DType>* in, std::vector<DType>* out) const override;
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;

  DType in_type;  // kUnknown: either
  int64_t axis;
  bool channels_last;
};

KernelPtr ref_lut(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                  std::string* why_not);
KernelPtr cpu_lut(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                  std::string* why_not);

}  // namespace mxq
