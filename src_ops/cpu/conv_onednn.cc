#include <algorithm>
#include <cstring>

#include "onednn.h"
#include "parallel.h"

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

// Images and rows of the output, and the data under them: a convolution of its own.
struct Band {
  ConvGeometry g;
  int64_t src, dst;  // of its first row, in elements
};

// What threads compute side by side: some images each, or some rows where there are fewer images than threads. One
// where `threads` is 1 or where rows have no data under them.
std::vector<Band> bands_of(const ConvGeometry& g, int64_t threads) {
  constexpr int64_t kFewestRows = 2, kManyWeights = 256 << 10;  // bytes, which every band reads
  const int64_t per_thread = g.out_c * g.depth() > kManyWeights ? 1 : 2;
  const std::vector<Band> whole = {{g, 0, 0}};
  const int64_t in_image = g.in_h * g.in_w * g.in_c, out_row = g.out_w * g.out_c;
  if (threads == 1 || g.pixels() * g.out_c * g.depth() / g.groups < kBytesPerThread * threads) return whole;
  const bool by_images = g.batch >= threads;
  const int64_t images = by_images ? (g.batch + per_thread * threads - 1) / (per_thread * threads) : 1;
  const int64_t per_image = (per_thread * threads + g.batch - 1) / g.batch;
  const int64_t rows = by_images ? g.out_h : std::max(kFewestRows, (g.out_h + per_image - 1) / per_image);
  std::vector<Band> bands;
  for (int64_t image = 0; image < g.batch; image += images) {
    for (int64_t row = 0; row < g.out_h; row += rows) {
      Band band{g, image * in_image, (image * g.out_h + row) * out_row};
      band.g.batch = std::min(images, g.batch - image);
      band.g.out_h = std::min(rows, g.out_h - row);
      const int64_t first = row * g.stride_h - g.pad_top;
      const int64_t end = first + (band.g.out_h - 1) * g.stride_h + (g.kernel_h - 1) * g.dilate_h + 1;
      const int64_t from = std::max<int64_t>(0, first), to = std::min(g.in_h, end);
      if (from >= to) return whole;
      if (band.g.out_h < g.out_h) {
        band.g.in_h = to - from;
        band.g.pad_top = from - first;
        band.g.pad_bottom = end - to;
      }
      band.src += from * g.in_w * g.in_c;
      bands.push_back(band);
    }
  }
  return bands;
}

class ConvPrimitives {
 public:
  ConvPrimitives(const LinearOp& conv, const std::vector<TensorType>& in) : stage_(conv.stage), data_(in[0].dtype) {
    residual_ = stage_.sum == Sum::kNone ? DType::kUnknown : in[stage_.residual_index()].dtype;
  }

  // The first of oneDNN's kernels that has no defect, and reads `weights` where these are given.
  onednn::Primitive make(const ConvGeometry& g, const Desc* weights, std::string* why_not) const {
    const auto s8 = dnnl::memory::data_type::s8, f32 = dnnl::memory::data_type::f32;
    const bool grouped = g.groups > 1;
    const dnnl::memory::dims weight_dims =
        grouped ? dnnl::memory::dims{g.groups, g.group_out(), g.group_in(), g.kernel_h, g.kernel_w}
                : dnnl::memory::dims{g.out_c, g.in_c, g.kernel_h, g.kernel_w};
    onednn::Primitive made;
    made.src = Desc({g.batch, g.in_c, g.in_h, g.in_w}, onednn::type_of(data_), Tag::nhwc);
    made.dst = Desc({g.batch, g.out_c, g.out_h, g.out_w}, onednn::type_of(stage_.out_type), Tag::nhwc);
    made.weights_plain = Desc(weight_dims, s8, grouped ? Tag::goihw : Tag::oihw);
    if (!stage_.no_bias && stage_.out_type != DType::kInt32) made.bias = Desc({g.out_c}, f32, Tag::a);
    dnnl::convolution_forward::primitive_desc desc(
        onednn::engine(), dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, made.src,
        weights ? *weights : Desc(weight_dims, s8, Tag::any), made.bias, made.dst, {g.stride_h, g.stride_w},
        {g.dilate_h - 1, g.dilate_w - 1}, {g.pad_top, g.pad_left}, {g.pad_bottom, g.pad_right},
        onednn::stage_attr(stage_, residual_, grouped ? 3 : 1));
    std::string reasons;
    do {
      const std::string kernel = desc.impl_info_str(), reason = defect(kernel, g);
      if (reason.empty()) {
        made.weights = desc.weights_desc();
        made.scratchpad = desc.scratchpad_desc();
        made.primitive = dnnl::convolution_forward(desc);
        return made;
      }
      reasons += (reasons.empty() ? "oneDNN's " : ", ") + kernel + " " + reason;
    } while (desc.next_impl());
    *why_not = reasons;
    return made;
  }

 private:
  const OutputStage& stage_;
  DType data_, residual_;
};

// Throws dnnl::error, or gives none and the reason.
onednn::Linear make_linear(const ConvPrimitives& primitives, const std::vector<Band>& bands, std::string* why_not) {
  onednn::Linear linear;
  linear.blocks.push_back({0, bands[0].g.out_c, 0});
  std::vector<ConvGeometry> made;
  for (const Band& band : bands) {
    const auto same = [&](const ConvGeometry& g) {
      return g.batch == band.g.batch && g.in_h == band.g.in_h && g.out_h == band.g.out_h &&
             g.pad_top == band.g.pad_top && g.pad_bottom == band.g.pad_bottom;
    };
    const size_t at = std::find_if(made.begin(), made.end(), same) - made.begin();
    if (at == made.size()) {
      const Desc* weights = made.empty() ? nullptr : &linear.primitives[0].weights;
      linear.primitives.push_back(primitives.make(band.g, weights, why_not));
      if (!linear.primitives.back().primitive) return {};
      made.push_back(band.g);
    }
    linear.parts.push_back({at, 0, band.src, band.dst});
  }
  return linear;
}

}  // namespace

KernelPtr cpu_conv_onednn(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                          std::string* why_not) {
  const auto& conv = static_cast<const LinearOp&>(op);
  const ConvGeometry g = conv.geometry(in[0].shape);
  const ConvPrimitives primitives(conv, in);
  const auto make = [&](int64_t threads, std::string* reason) {
    return make_linear(primitives, bands_of(g, threads), reason);
  };
  return onednn::make_kernel(conv, in, out, make, why_not);
}

}  // namespace mxq
