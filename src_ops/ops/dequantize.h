#pragma once

#include "../core/op.h"
#include "../core/qmath.h"

namespace mxq {

// 8 bit or int32 -> float32: float32(q - zero_point) * scale.
//
//   ranges=none:    inputs data; qparams from min_calib_range and max_calib_range (8 bit), or scale and zero_point
//   ranges=tensor:  inputs data, min (1,), max (1,): a range found at run time (8 bit)
//   ranges=channel: inputs data, scale (C,), one for each position along `axis`
//
// layout=channels_first turns (N, spatial..., C) into (N, C, spatial...); `axis` is that of the input.
// fine_steps above 1 (ranges=none with a range, axis 1, the layout kept): data as mxq_quantize_v2 writes it with
// fine_steps; the output has half the channels: fl(fl(whole - zero_point) * scale) + fl(fl(rest - zero_point) *
// fl(scale / fine_steps)), rounded.
class DequantizeOp : public Op {
 public:
  enum class Ranges { kNone, kTensor, kChannel };

  explicit DequantizeOp(const Attrs& attrs);

  int num_inputs() const override { return ranges == Ranges::kTensor ? 3 : ranges == Ranges::kChannel ? 2 : 1; }
  void infer_types(std::vector<DType>* in, std::vector<DType>* out) const override;
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;

  // Of the whole tensor, at run time (not for ranges=channel, whose scales are an input).
  QParams qparams_of(const std::vector<Tensor>& in) const;
  Ranges ranges;
  bool channels_first;
  bool calibrated;  // the qparams come from a range
  double lo = 0, hi = 0;
  float scale = 1.0f;
  int zero_point = 0;
  int64_t axis = 0;
  int fine_steps = 1;
};

KernelPtr ref_dequantize(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                         std::string* why_not);
KernelPtr cpu_dequantize(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                         std::string* why_not);

}  // namespace mxq
