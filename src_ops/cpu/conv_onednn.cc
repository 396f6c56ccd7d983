#include <cstring>

#include "onednn.h"

namespace mxq {
namespace {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;

// oneDNN 3.2 rewrites such a convolution as one with fewer, wider taps, also where the weights' layout or an odd width
// does not allow it: wrong results (fixed in 3.4 and 3.6, "dimension transformation" of brgemm convolution).
bool merges_taps_wrongly(const ConvGeometry& g) {
  const int64_t covered = (g.out_w - 1) * g.stride_w + (g.kernel_w - 1) * g.dilate_w + 1;  // of the width
  const bool rewritten =
      g.groups == 1 && g.dilate_w == 1 && g.kernel_w > 1 && g.stride_w > 1 && g.pad_left == 0 && covered <= g.in_w;
  return rewritten && (g.in_c % 64 != 0 || g.in_w % g.stride_w != 0);
}

// Empty, or why the kernel that oneDNN proposes is not used. Measured with 3.2 over generated shapes.
std::string defect(const std::string& kernel, const ConvGeometry& g) {
  auto starts = [&](const char* prefix) { return kernel.compare(0, std::strlen(prefix), prefix) == 0; };
  if (starts("ref") || starts("gemm")) return "is slower than our own";
  if (starts("jit_uni")) return "is wrong for some depthwise shapes";
  if (starts("brgconv:") && merges_taps_wrongly(g)) return "merges taps wrongly";
  return "";
}

}  // namespace

KernelPtr cpu_conv_onednn(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                          std::string* why_not) {
  const auto& conv = static_cast<const LinearOp&>(op);
  const OutputStage& stage = conv.stage;
  if (!onednn::has_dot_product(why_not) || !onednn::int32_is_exact(stage, why_not)) return nullptr;
  const ConvGeometry g = conv.geometry(in[0].shape);
  const auto s8 = dnnl::memory::data_type::s8, f32 = dnnl::memory::data_type::f32;
  const bool grouped = g.groups > 1;
  const dnnl::memory::dims weight_dims =
      grouped ? dnnl::memory::dims{g.groups, g.group_out(), g.group_in(), g.kernel_h, g.kernel_w}
              : dnnl::memory::dims{g.out_c, g.in_c, g.kernel_h, g.kernel_w};
  onednn::Linear linear;
  linear.src = Desc({g.batch, g.in_c, g.in_h, g.in_w}, onednn::type_of(in[0].dtype), Tag::nhwc);
  linear.dst = Desc({g.batch, g.out_c, g.out_h, g.out_w}, onednn::type_of(stage.out_type), Tag::nhwc);
  linear.weights_plain = Desc(weight_dims, s8, grouped ? Tag::goihw : Tag::oihw);
  if (!stage.no_bias && stage.out_type != DType::kInt32) linear.bias = Desc({g.out_c}, f32, Tag::a);
  const DType residual = stage.sum == Sum::kNone ? DType::kUnknown : in[stage.residual_index()].dtype;
  const dnnl::primitive_attr attr = onednn::stage_attr(stage, residual, grouped ? 3 : 1);
  try {
    dnnl::convolution_forward::primitive_desc desc(
        onednn::engine(), dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, linear.src,
        Desc(weight_dims, s8, Tag::any), linear.bias, linear.dst, {g.stride_h, g.stride_w},
        {g.dilate_h - 1, g.dilate_w - 1}, {g.pad_top, g.pad_left}, {g.pad_bottom, g.pad_right}, attr);
    std::string reasons;
    do {
      const std::string kernel = desc.impl_info_str(), reason = defect(kernel, g);
      if (reason.empty()) {
        linear.weights = desc.weights_desc();
        linear.scratchpad = desc.scratchpad_desc();
        linear.primitive = dnnl::convolution_forward(desc);
        return onednn::make_kernel(conv, std::move(linear), cpu_linear_avx(op, in, out, why_not));
      }
      reasons += (reasons.empty() ? "oneDNN's " : ", ") + kernel + " " + reason;
    } while (desc.next_impl());
    *why_not = reasons;
  } catch (const dnnl::error& e) {
    *why_not = std::string("oneDNN: ") + e.what();
  }
  return nullptr;
}

}  // namespace mxq
