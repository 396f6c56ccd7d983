#pragma once

#include "../core/op.h"
#include "eight_bit.h"
#include "lrn_power.h"

namespace mxq {

// Normalization across neighbouring channels of channels-last data, as MXNet's LRN:
//   y[c] = x[c] * (knorm + alpha / nsize * SUM x[j]^2) ^ -beta, j from c - nsize / 2 to c + nsize / 2 where there are
//   channels.
//
//   v    = fl(q - in_zero_point); of float32 data the value itself, with in_scale 1
//   s    = fl(... fl(fl(v[j0] * v[j0]) + fl(v[j1] * v[j1])) + ...), in the order of the channels
//   u    = fl(knorm + fl(fl(alpha / nsize * in_scale^2) * s))
//   t    = fl(fl(v * fl(in_scale / out_scale)) * lrn_power(u, -beta))
//   8 bit: clamp(rint(fl(t + out_zero_point))); float32: t
class LrnOp : public Op {
 public:
  explicit LrnOp(const Attrs& attrs);
  int num_inputs() const override { return 1; }
  void infer_types(std::vector<DType>* in, std::vector<DType>* out) const override;
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;

  int64_t reach;  // channels to either side
  float exponent, knorm, weight, multiplier;
  bool has_scale;
  int in_zero_point;
  OutputType out;
};

KernelPtr ref_lrn(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                  std::string* why_not);
KernelPtr cpu_lrn(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                  std::string* why_not);

}  // namespace mxq
