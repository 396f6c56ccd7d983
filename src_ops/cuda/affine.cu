#include "../ops/affine.h"
#include "arithmetic.cuh"
#include "fault.h"
#include "implementations.h"

namespace mxq {
namespace cuda {
namespace {

struct AffineParams {
  const void* data;
  const float *scale, *shift, *slope;  // slope: null where all channels have leaky_slope
  void* out;
  FaultSink fault;
  unsigned size;
  int channels, type, zero_point;  // type: 0 int8, 1 uint8, 2 float32
  float in_scale, out_scale, leaky_slope;
  Stage stage;
};

__global__ void affine_kernel(AffineParams p) {
  const unsigned at = flat_index();
  if (at >= p.size) return;
  const int c = static_cast<int>(at % p.channels);
  const float scale = __ldg(p.scale + c), shift = __ldg(p.shift + c), slope = p.slope ? p.slope[c] : p.leaky_slope;
  const float multiplier = static_cast<float>(__ddiv_rn(__dmul_rn(p.in_scale, scale), p.out_scale));
  const float bias = static_cast<float>(__ddiv_rn(shift, p.out_scale));
  if (!is_finite(multiplier)) report(p.fault, Found::kScale, c, scale);
  if (!is_finite(bias)) report(p.fault, Found::kShift, c, shift);
  if (!is_finite(slope)) report(p.fault, Found::kSlope, c, slope);
  const float v = p.type == 2
                      ? static_cast<const float*>(p.data)[at]
                      : static_cast<float>(read_8bit(static_cast<const uint8_t*>(p.data), at, p.type) - p.zero_point);
  store(p.stage.to, p.out, at, stage_value(p.stage, v, multiplier, bias, slope, 0.0f));
}

class Affine : public Kernel {
 public:
  Affine(const AffineOp& op, const TensorType& data) : p_{} {
    p_.size = static_cast<unsigned>(num_elements(data.shape));
    p_.channels = static_cast<int>(data.shape.back());
    p_.type = data.dtype == DType::kInt8 ? 0 : data.dtype == DType::kUint8 ? 1 : 2;
    p_.zero_point = op.stage.in_zero_point;
    p_.in_scale = op.stage.in_scale, p_.out_scale = op.stage.out_scale;
    p_.leaky_slope = op.stage.act == Act::kLeaky ? op.stage.act_alpha : 1.0f;
    p_.stage = stage_of(op.stage, DType::kUnknown);
    has_slopes_ = op.has_slopes();
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    AffineParams p = p_;
    p.data = in[0].data, p.out = out[0].data;
    p.scale = in[1].as<const float>(), p.shift = in[2].as<const float>();
    p.slope = has_slopes_ ? in[3].as<const float>() : nullptr;
    p.fault = fault_of(*context);
    launch_flat(affine_kernel, p.size, stream_of(*context), p);
  }

 private:
  AffineParams p_;
  bool has_slopes_;
};

}  // namespace

MXQ_CUDA_FACTORY(affine) {
  if (!fits_32_bits(in, why_not) || !fits_32_bits(out, why_not)) return nullptr;
  return std::make_shared<Affine>(static_cast<const AffineOp&>(op), in[0]);
}

}  // namespace cuda
}  // namespace mxq
