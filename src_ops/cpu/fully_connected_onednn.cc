// A matrix product, not oneDNN's inner product: as fast for one row and for many, and it takes every zero point.
#include "../ops/fully_connected.h"
#include "onednn.h"

namespace mxq {

KernelPtr cpu_fully_connected_onednn(const Op& op, const std::vector<TensorType>& in,
                                     const std::vector<TensorType>& out, std::string* why_not) {
  using Desc = dnnl::memory::desc;
  using Tag = dnnl::memory::format_tag;
  const auto& linear_op = static_cast<const LinearOp&>(op);
  const OutputStage& stage = linear_op.stage;
  if (!onednn::has_dot_product(why_not) || !onednn::int32_is_exact(stage, why_not)) return nullptr;
  const ConvGeometry g = linear_op.geometry(in[0].shape);
  const auto s8 = dnnl::memory::data_type::s8, f32 = dnnl::memory::data_type::f32;
  onednn::Linear linear;
  linear.src = Desc({g.pixels(), g.in_c}, onednn::type_of(in[0].dtype), Tag::ab);
  linear.dst = Desc({g.pixels(), g.out_c}, onednn::type_of(stage.out_type), Tag::ab);
  linear.weights_plain = Desc({g.in_c, g.out_c}, s8, Tag::ba);
  if (!stage.no_bias && stage.out_type != DType::kInt32) linear.bias = Desc({1, g.out_c}, f32, Tag::ab);
  const DType residual = stage.sum == Sum::kNone ? DType::kUnknown : in[stage.residual_index()].dtype;
  try {
    const dnnl::matmul::primitive_desc desc(onednn::engine(), linear.src, Desc({g.in_c, g.out_c}, s8, Tag::any),
                                            linear.bias, linear.dst, onednn::stage_attr(stage, residual, 1 << 1));
    const std::string kernel = desc.impl_info_str();
    if (kernel.compare(0, 4, "brg:") != 0) {  // its gemm and reference kernels round in other orders
      *why_not = "oneDNN has only " + kernel;
      return nullptr;
    }
    linear.weights = desc.weights_desc();
    linear.scratchpad = desc.scratchpad_desc();
    linear.primitive = dnnl::matmul(desc);
    return onednn::make_kernel(linear_op, std::move(linear), cpu_linear_avx(op, in, out, why_not));
  } catch (const dnnl::error& e) {
    *why_not = std::string("oneDNN: ") + e.what();
  }
  return nullptr;
}

}  // namespace mxq
