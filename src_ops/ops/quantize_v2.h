#pragma once

#include "../core/op.h"
#include "../core/qmath.h"
#include "scalars.h"

namespace mxq {

// float32 or 8 bit -> 8 bit.
//
//   calibrated:     inputs data; outputs q
//   not calibrated: inputs data; outputs q, min (1,), max (1,): the range of this batch
//
// layout=channels_last turns (N, C, spatial...) into (N, spatial..., C).
// fine_steps above 1 (calibrated float32 data): the output has twice the channels, first whole steps rounded down, then
// the rests in 1 / fine_steps of a step; see split_fine(). `axis` is the channel axis of data, 1 or the last.
// scalars (calibrated float32 data): what is done to data first; see scalars.h.
class QuantizeV2Op : public Op {
 public:
  explicit QuantizeV2Op(const Attrs& attrs);

  int num_inputs() const override { return 1; }
  int num_outputs() const override { return calibrated ? 1 : 3; }
  void infer_types(std::vector<DType>* in, std::vector<DType>* out) const override;
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;

  DType out_type;
  bool calibrated;
  QParams qparams{1.0f, 0};  // of the output, where calibrated
  bool channels_last;
  float in_scale;  // what an 8-bit input stands for
  int in_zero_point;
  int fine_steps;
  int64_t axis;
  Scalars scalars;
};

// The range that an uncalibrated 8-bit tensor covers: the two ends in real numbers.
void range_of_type(DType dtype, float scale, int zero_point, float* lo, float* hi);

KernelPtr ref_quantize_v2(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                          std::string* why_not);
KernelPtr cpu_quantize_v2(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                          std::string* why_not);
KernelPtr cpu_quantize_fine(const QuantizeV2Op& op);

}  // namespace mxq
