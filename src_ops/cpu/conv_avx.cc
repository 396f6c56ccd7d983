// mxq_conv and mxq_fully_connected for machines without 8-bit dot products: exact on every x86-64.
//
// The windows of a block of output pixels are widened to int16 with the zero point subtracted (padding is then 0) and
// multiplied by the packed weights. Depthwise convolutions go their own way (depthwise.h).
#include <algorithm>

#include "../core/check.h"
#include "../ops/conv.h"
#include "depthwise.h"
#include "gemm.h"
#include "output_stage.h"
#include "packed_weights.h"
#include "parallel.h"

namespace mxq {
namespace {

constexpr int64_t kBlockBytes = 128 << 10;  // of widened windows: stays in the second-level cache beside a panel
constexpr int64_t kMinColumns = 64;         // of a share of work, so that widening the windows stays cheap

struct GemmPacked : Packed {
  std::vector<GemmColumns> groups;  // depth ordered (ky, kx, channel)
};

std::shared_ptr<Packed> pack_gemm(const ConvGeometry& g, const OutputStage& stage, const LayerParams& params) {
  auto packed = std::make_shared<GemmPacked>();
  packed->groups.resize(g.groups);
  const int64_t taps = g.kernel_h * g.kernel_w;
  size_t bytes = 0;
  const int8_t* w = params.weight->as<const int8_t>();
  for (GemmColumns& columns : packed->groups) {
    columns.resize(g.depth(), g.group_out());
    bytes += columns.data.size();
    for (int64_t o = 0; o < g.group_out(); ++o) {
      for (int64_t i = 0; i < g.group_in(); ++i) {
        for (int64_t t = 0; t < taps; ++t) columns.set(t * g.group_in() + i, o, *w++);
      }
    }
  }
  describe_packed(stage, params, bytes, packed.get());
  return packed;
}

// The window of one output pixel as g.depth() values.
template <class T>
void gather_window(const ConvGeometry& g, const T* data, int zero_point, int64_t group, int64_t pixel, int16_t* to) {
  const int64_t n = pixel / (g.out_h * g.out_w);
  const int64_t y = pixel / g.out_w % g.out_h * g.stride_h - g.pad_top;
  const int64_t x = pixel % g.out_w * g.stride_w - g.pad_left;
  const int64_t channels = g.group_in();
  for (int64_t ky = 0; ky < g.kernel_h; ++ky, to += g.kernel_w * channels) {
    const int64_t iy = y + ky * g.dilate_h;
    if (iy < 0 || iy >= g.in_h) {
      std::fill(to, to + g.kernel_w * channels, int16_t{0});
      continue;
    }
    const T* row = data + (n * g.in_h + iy) * g.in_w * g.in_c + group * channels;
    if (g.groups == 1 && g.dilate_w == 1) {  // neighbouring taps are neighbours in memory
      const int64_t begin = std::min(std::max<int64_t>(0, -x), g.kernel_w);
      const int64_t end = std::max(begin, std::min(g.kernel_w, g.in_w - x));
      std::fill(to, to + begin * channels, int16_t{0});
      widen(row + (x + begin) * channels, (end - begin) * channels, zero_point, to + begin * channels);
      std::fill(to + end * channels, to + g.kernel_w * channels, int16_t{0});
      continue;
    }
    for (int64_t kx = 0; kx < g.kernel_w; ++kx) {
      const int64_t ix = x + kx * g.dilate_w;
      if (ix < 0 || ix >= g.in_w) {
        std::fill(to + kx * channels, to + (kx + 1) * channels, int16_t{0});
      } else {
        widen(row + ix * g.in_c, channels, zero_point, to + kx * channels);
      }
    }
  }
}

// How the output is divided among threads: blocks of pixels, each with all or a share of a group's panels.
struct Division {
  int64_t rows, blocks, panels, shares;  // rows per block, panels per share
  int64_t items(const ConvGeometry& g) const { return g.groups * blocks * shares; }
};

Division divide(const ConvGeometry& g, int tile_rows) {
  Division d;
  const int64_t panels = (g.group_out() + GemmColumns::kPanel - 1) / GemmColumns::kPanel;
  const int64_t fit = kBlockBytes / (2 * g.depth()) / tile_rows * tile_rows;
  const int64_t threads = threads_here();
  const int64_t fair = (g.pixels() + 4 * threads - 1) / (4 * threads);  // a few blocks for each thread
  const int64_t rows = std::min(fit, (fair + tile_rows - 1) / tile_rows * tile_rows);
  d.rows = std::min(g.pixels(), std::max<int64_t>(tile_rows, rows));
  d.blocks = (g.pixels() + d.rows - 1) / d.rows;
  const int64_t wanted = std::max<int64_t>(1, 4 * threads / (g.groups * d.blocks));
  d.panels = std::max((panels + wanted - 1) / wanted, std::min<int64_t>(panels, kMinColumns / GemmColumns::kPanel));
  d.shares = (panels + d.panels - 1) / d.panels;
  return d;
}

class AvxLinear : public Kernel {
 public:
  AvxLinear(const LinearOp& op, const ConvGeometry& g, KernelPtr wide)
      : stage_(op.stage), g_(g), wide_(std::move(wide)), isa_(cpu_isa()) {
    std::string layout = is_depthwise(g) ? "avx depthwise" : "avx";
    for (int64_t v : {g.groups, g.in_c, g.out_c, g.kernel_h, g.kernel_w}) layout += " " + std::to_string(v);
    format_ = packed_format(stage_, layout);
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* ctx) const override {
    const LayerParams params = layer_params(stage_, in);
    const Tensor* residual = stage_.sum == Sum::kNone ? nullptr : &in[stage_.residual_index()];
    const PackedPtr packed = find_packed(format_, params, ctx, [&] {
      return is_depthwise(g_) ? pack_depthwise(g_, stage_, params) : pack_gemm(g_, stage_, params);
    });
    if (!fits_int32(*packed, in[0].dtype(), stage_.in_zero_point)) return wide_->run(in, out, ctx);
    if (is_depthwise(g_)) return run_depthwise(g_, stage_, *packed, in[0], residual, out[0]);
    const auto& weights = static_cast<const GemmPacked&>(*packed);
    const Division d = divide(g_, gemm_rows(isa_));
    const int64_t work = d.rows * g_.depth() * d.panels;  // about a byte of traffic for each panel of products
    parallel_for(d.items(g_), work, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) run_item(d, weights, in[0], residual, out[0], item);
    });
  }

 private:
  void run_item(const Division& d, const GemmPacked& weights, const Tensor& data, const Tensor* residual,
                const Tensor& out, int64_t item) const {
    thread_local std::vector<int16_t> windows;
    thread_local std::vector<int32_t> acc;
    const int64_t share = item % d.shares, block = item / d.shares % d.blocks, group = item / d.shares / d.blocks;
    const GemmColumns& columns = weights.groups[group];
    const int64_t first_pixel = block * d.rows, rows = std::min(d.rows, g_.pixels() - first_pixel);
    const int64_t stride = 2 * columns.pairs();
    windows.resize(rows * stride);
    for (int64_t r = 0; r < rows; ++r) {
      int16_t* to = windows.data() + r * stride;
      if (data.dtype() == DType::kUint8) {
        gather_window(g_, data.as<const uint8_t>(), stage_.in_zero_point, group, first_pixel + r, to);
      } else {
        gather_window(g_, data.as<const int8_t>(), stage_.in_zero_point, group, first_pixel + r, to);
      }
      if (stride > g_.depth()) to[g_.depth()] = 0;
    }
    const int64_t first = share * d.panels, last = std::min(first + d.panels, columns.panels());
    const int64_t width = (last - first) * GemmColumns::kPanel;
    acc.resize(rows * width);
    const GemmPanel multiply = gemm_panel(isa_);
    for (int64_t p = first; p < last; ++p) {
      multiply(windows.data(), stride, rows, columns.panel(p), columns.pairs(),
               acc.data() + (p - first) * GemmColumns::kPanel, width);
    }
    const int64_t first_column = first * GemmColumns::kPanel;
    const int64_t used = std::min(width, columns.columns - first_column);
    const int64_t channel = group * g_.group_out() + first_column;
    for (int64_t r = 0; r < rows; ++r) {
      write_stage(stage_, weights.terms, channel, used, acc.data() + r * width, residual, out,
                  (first_pixel + r) * g_.out_c + channel);
    }
  }

  OutputStage stage_;
  ConvGeometry g_;
  KernelPtr wide_;  // with a 64-bit accumulator, for weights so many and large that 32 bits could overflow
  Isa isa_;
  std::string format_;
};

}  // namespace

KernelPtr cpu_linear_avx(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                         std::string* why_not) {
  const auto& linear = static_cast<const LinearOp&>(op);
  return std::make_shared<AvxLinear>(linear, linear.geometry(in[0].shape), ref_linear(op, in, out, why_not));
}

}  // namespace mxq
