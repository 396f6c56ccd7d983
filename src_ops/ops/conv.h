// mxq_conv: int8 convolution, 1-D or 2-D, channels last. See output_stage.h for the arithmetic after the accumulator.
//   inputs: data (N, [H,] W, C) int8|uint8; weight (O, C/groups, [kh,] kw) int8; weight_scale (O,) float32;
//           bias (O,) int32 unless no_bias; slope (O,) float32 if act=prelu; residual (as output) int8|uint8 if sum
//   acc = SUM (x - in_zero_point) * w, exact; padding is in_zero_point, that is real 0
#pragma once

#include <string>
#include <vector>

#include "../core/measured.h"
#include "../core/op.h"
#include "../core/sizes.h"
#include "output_stage.h"

namespace mxq {

// Always two-dimensional: a 1-D convolution has height 1. A fully connected layer is a 1x1 convolution of a column.
struct ConvGeometry {
  int64_t batch, in_h, in_w, in_c, out_h, out_w, out_c, groups;
  int64_t kernel_h, kernel_w, stride_h, stride_w, dilate_h, dilate_w;
  int64_t pad_top, pad_left, pad_bottom, pad_right;

  int64_t group_in() const { return in_c / groups; }
  int64_t group_out() const { return out_c / groups; }
  int64_t depth() const { return group_in() * kernel_h * kernel_w; }  // products per output
  int64_t pixels() const { return batch * out_h * out_w; }
};

// What an implementation needs of either operator.
struct LinearOp : Op {
  OutputStage stage;
  virtual ConvGeometry geometry(const Shape& data) const = 0;
  int num_inputs() const override { return stage.num_inputs(); }
  void infer_types(std::vector<DType>* in, std::vector<DType>* out) const override {
    infer_stage_types(stage, in, out);
  }
  int in_place_input() const override { return stage.residual_index(); }
  bool keeps_input(int index) const override { return stage.is_param(index); }
  int64_t macs(const std::vector<TensorType>& in) const override {
    const ConvGeometry g = geometry(in[0].shape);
    return saturated_product(saturated_product(g.pixels(), g.out_c), g.depth());
  }
};

struct ConvOp : LinearOp, Measured {
  int64_t num_filter, num_group;
  std::vector<int64_t> kernel, stride, dilate, pad_begin, pad_end;

  ConvGeometry geometry(const Shape& data) const override;
  std::string work() const override;
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;
};

// Implementations for both operators, where only geometry and stage matter.
KernelPtr ref_linear(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                     std::string* why_not);
KernelPtr cpu_linear_avx(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                         std::string* why_not);
KernelPtr cpu_depthwise_vnni(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                             std::string* why_not);
KernelPtr cpu_conv_winograd(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                            std::string* why_not);
KernelPtr cpu_conv_tiles(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                         std::string* why_not);
KernelPtr cpu_conv_onednn(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                          std::string* why_not);

// Speeds of convolutions, in multiples of oneDNN's with 8-bit dot products.
double winograd_speed(const Op& op, const std::vector<TensorType>& in);
double tiles_speed(const Op& op, const std::vector<TensorType>& in);

OpEntry conv_entry();

}  // namespace mxq
