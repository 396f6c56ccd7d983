// The meaning of mxq_conv and mxq_fully_connected (a 1x1 convolution of a column) in plain loops. The accumulator is
// int64, so the result is defined however many products there are.
#include "../ops/conv.h"

#include "../core/check.h"

namespace mxq {
namespace {

class RefLinear : public Kernel {
 public:
  RefLinear(const LinearOp& op, const ConvGeometry& g) : stage_(op.stage), g_(g) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    const ChannelTerms terms = derive_channel_terms(stage_, layer_params(stage_, in));
    const Tensor* residual = stage_.sum == Sum::kNone ? nullptr : &in[stage_.residual_index()];
    for (int64_t pixel = 0; pixel < g_.pixels(); ++pixel) {
      for (int64_t o = 0; o < g_.out_c; ++o) {
        const int64_t acc = accumulate(in[0], in[1].as<const int8_t>(), pixel, o);
        write(terms, acc, o, pixel * g_.out_c + o, residual, out[0]);
      }
    }
  }

 private:
  static int read(const Tensor& t, int64_t i) {
    return t.dtype() == DType::kUint8 ? int{t.as<const uint8_t>()[i]} : int{t.as<const int8_t>()[i]};
  }

  static float read_residual(const Tensor& t, int64_t i) {
    return t.dtype() == DType::kFloat32 ? t.as<const float>()[i] : static_cast<float>(read(t, i));
  }

  int64_t accumulate(const Tensor& data, const int8_t* weight, int64_t pixel, int64_t o) const {
    const int64_t n = pixel / (g_.out_h * g_.out_w);
    const int64_t y = pixel / g_.out_w % g_.out_h, x = pixel % g_.out_w;
    const int64_t first = o / g_.group_out() * g_.group_in();  // first input channel of the group
    int64_t acc = 0;
    for (int64_t ky = 0; ky < g_.kernel_h; ++ky) {
      const int64_t iy = y * g_.stride_h - g_.pad_top + ky * g_.dilate_h;
      if (iy < 0 || iy >= g_.in_h) continue;
      for (int64_t kx = 0; kx < g_.kernel_w; ++kx) {
        const int64_t ix = x * g_.stride_w - g_.pad_left + kx * g_.dilate_w;
        if (ix < 0 || ix >= g_.in_w) continue;
        const int64_t from = ((n * g_.in_h + iy) * g_.in_w + ix) * g_.in_c + first;
        for (int64_t i = 0; i < g_.group_in(); ++i) {
          const int w = weight[((o * g_.group_in() + i) * g_.kernel_h + ky) * g_.kernel_w + kx];
          acc += (read(data, from + i) - stage_.in_zero_point) * w;
        }
      }
    }
    return acc;
  }

  void write(const ChannelTerms& terms, int64_t acc, int64_t o, int64_t at, const Tensor* residual,
             const Tensor& out) const {
    if (stage_.out_type == DType::kInt32) {
      out.as<int32_t>()[at] = clamp_int32(acc + (stage_.no_bias ? 0 : terms.bias_int[o]));
      return;
    }
    const float t = stage_value(stage_, terms, o, acc, residual ? read_residual(*residual, at) : 0);
    if (stage_.out_type == DType::kFloat32) {
      out.as<float>()[at] = t;
    } else {
      const int q = round_clamp(t, stage_.out_zero_point, qmin(stage_.out_type), qmax(stage_.out_type));
      out.as<int8_t>()[at] = static_cast<int8_t>(q);  // the byte of a uint8 is the same
    }
  }

  OutputStage stage_;
  ConvGeometry g_;
};

}  // namespace

KernelPtr ref_linear(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>&, std::string*) {
  const auto& linear = static_cast<const LinearOp&>(op);
  return std::make_shared<RefLinear>(linear, linear.geometry(in[0].shape));
}

}  // namespace mxq
