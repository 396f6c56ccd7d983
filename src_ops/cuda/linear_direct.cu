// A thread for each output, in plain loops with 64-bit sums: for layers that the matrix product cannot take, and to
// compare it with.
#include "../ops/conv.h"
#include "arithmetic.cuh"
#include "fault.h"
#include "implementations.h"

namespace mxq {
namespace cuda {
namespace {

struct DirectParams {
  const uint8_t *data, *residual;
  const int8_t* weight;
  const float *weight_scale, *slope;  // slope: null where all channels have leaky_slope
  const int32_t* bias;
  void* out;
  FaultSink fault;
  int in_h, in_w, in_c, out_h, out_w, out_c, group_in, group_out;
  int kernel_h, kernel_w, stride_h, stride_w, dilate_h, dilate_w, pad_top, pad_left;
  int data_unsigned, zero_point;
  float in_scale, out_scale, leaky_slope;
  unsigned size;
  Stage stage;
};

__global__ void direct_kernel(DirectParams p) {
  const unsigned at = flat_index();
  if (at >= p.size) return;
  const int o = static_cast<int>(at % p.out_c);
  const unsigned pixel = at / p.out_c;
  const int x = static_cast<int>(pixel % p.out_w), y = static_cast<int>(pixel / p.out_w % p.out_h);
  const int64_t image = pixel / p.out_w / p.out_h;
  const int first = o / p.group_out * p.group_in;
  int64_t sum = 0;
  for (int ky = 0; ky < p.kernel_h; ++ky) {
    const int iy = y * p.stride_h - p.pad_top + ky * p.dilate_h;
    if (iy < 0 || iy >= p.in_h) continue;
    for (int kx = 0; kx < p.kernel_w; ++kx) {
      const int ix = x * p.stride_w - p.pad_left + kx * p.dilate_w;
      if (ix < 0 || ix >= p.in_w) continue;
      const int64_t from = ((image * p.in_h + iy) * p.in_w + ix) * p.in_c + first;
      const int64_t tap = (static_cast<int64_t>(o) * p.group_in * p.kernel_h + ky) * p.kernel_w + kx;
      for (int i = 0; i < p.group_in; ++i) {
        const int w = p.weight[tap + static_cast<int64_t>(i) * p.kernel_h * p.kernel_w];
        sum += (read_8bit(p.data, from + i, p.data_unsigned) - p.zero_point) * w;
      }
    }
  }
  const int bias = p.bias ? p.bias[o] : 0;
  if (p.stage.to.is_int32) {
    static_cast<int32_t*>(p.out)[at] = clamp_int32(sum + bias);
    return;
  }
  const float scale = p.weight_scale[o];
  const double ratio = __ddiv_rn(__dmul_rn(p.in_scale, scale), p.out_scale);
  const float multiplier = static_cast<float>(ratio);
  if (!(is_finite(scale) && scale > 0)) {
    report(p.fault, Found::kWeightScale, o, scale);
  } else if (!(is_finite(multiplier) && multiplier > 0)) {
    report(p.fault, Found::kMultiplier, o, scale);
  }
  const float residual = !p.residual ? 0.0f
                         : p.stage.residual_float
                             ? reinterpret_cast<const float*>(p.residual)[at]
                             : static_cast<float>(read_8bit(p.residual, at, p.stage.residual_unsigned));
  const float slope = p.slope ? p.slope[o] : p.leaky_slope;
  if (!is_finite(slope)) report(p.fault, Found::kSlope, o, slope);
  const float t = stage_value(p.stage, static_cast<float>(sum), multiplier, static_cast<float>(__dmul_rn(bias, ratio)),
                              slope, residual);
  store(p.stage.to, p.out, at, t);
}

class Direct : public Kernel {
 public:
  Direct(const LinearOp& op, const std::vector<TensorType>& in) : stage_(op.stage), g_(op.geometry(in[0].shape)) {
    const int index = stage_.residual_index();
    p_ = DirectParams{};
    p_.stage = stage_of(stage_, index < 0 ? DType::kUnknown : in[index].dtype);
    auto set = [](int* to, int64_t value) { *to = static_cast<int>(value); };
    set(&p_.in_h, g_.in_h), set(&p_.in_w, g_.in_w), set(&p_.in_c, g_.in_c);
    set(&p_.out_h, g_.out_h), set(&p_.out_w, g_.out_w), set(&p_.out_c, g_.out_c);
    set(&p_.group_in, g_.group_in()), set(&p_.group_out, g_.group_out());
    set(&p_.kernel_h, g_.kernel_h), set(&p_.kernel_w, g_.kernel_w);
    set(&p_.stride_h, g_.stride_h), set(&p_.stride_w, g_.stride_w);
    set(&p_.dilate_h, g_.dilate_h), set(&p_.dilate_w, g_.dilate_w);
    set(&p_.pad_top, g_.pad_top), set(&p_.pad_left, g_.pad_left);
    p_.data_unsigned = in[0].dtype == DType::kUint8;
    p_.zero_point = stage_.in_zero_point;
    p_.in_scale = stage_.in_scale, p_.out_scale = stage_.out_scale;
    p_.leaky_slope = stage_.act == Act::kLeaky ? stage_.act_alpha : 1.0f;
    p_.size = static_cast<unsigned>(g_.pixels() * g_.out_c);
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    DirectParams p = p_;
    p.data = in[0].as<const uint8_t>();
    const LayerParams params = layer_params(stage_, in);
    p.weight = params.weight->as<const int8_t>();
    p.weight_scale = params.weight_scale->as<const float>();
    if (params.bias) p.bias = params.bias->as<const int32_t>();
    if (params.slope) p.slope = params.slope->as<const float>();
    if (stage_.sum != Sum::kNone) p.residual = in[stage_.residual_index()].as<const uint8_t>();
    p.out = out[0].data;
    p.fault = fault_of(*context);
    launch_flat(direct_kernel, p.size, stream_of(*context), p);
  }

 private:
  OutputStage stage_;
  ConvGeometry g_;
  DirectParams p_;
};

}  // namespace

MXQ_CUDA_FACTORY(linear_direct) {
  if (!fits_32_bits(in, why_not) || !fits_32_bits(out, why_not)) return nullptr;
  return std::make_shared<Direct>(static_cast<const LinearOp&>(op), in);
}

}  // namespace cuda
}  // namespace mxq
