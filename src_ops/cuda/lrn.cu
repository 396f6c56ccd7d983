#include "../ops/lrn.h"
#include "arithmetic.cuh"
#include "implementations.h"

namespace mxq {
namespace cuda {
namespace {

struct LrnParams {
  const void* data;
  void* out;
  unsigned size;
  int channels, reach, type, zero_point;  // type: 0 int8, 1 uint8, 2 float32
  float exponent, knorm, weight, multiplier;
  Target to;
};

__device__ inline float value_at(const LrnParams& p, int64_t at) {
  if (p.type == 2) return __ldg(static_cast<const float*>(p.data) + at);
  return static_cast<float>(read_8bit(static_cast<const uint8_t*>(p.data), at, p.type) - p.zero_point);
}

__global__ void lrn_kernel(LrnParams p) {
  const unsigned at = flat_index();
  if (at >= p.size) return;
  const int channel = static_cast<int>(at % p.channels);
  const int64_t first = static_cast<int64_t>(at) - channel;
  const int from = channel > p.reach ? channel - p.reach : 0;
  const int to = p.channels - 1 - channel > p.reach ? channel + p.reach : p.channels - 1;
  float sum = 0.0f;
  for (int j = from; j <= to; ++j) {
    const float v = value_at(p, first + j);
    sum = __fadd_rn(sum, __fmul_rn(v, v));
  }
  const float u = __fadd_rn(p.knorm, __fmul_rn(p.weight, sum));
  store(p.to, p.out, at, __fmul_rn(__fmul_rn(value_at(p, at), p.multiplier), lrn_power(u, p.exponent)));
}

class Lrn : public Kernel {
 public:
  Lrn(const LrnOp& op, const TensorType& data) : p_{} {
    p_.size = static_cast<unsigned>(num_elements(data.shape));
    p_.channels = static_cast<int>(data.shape.back());
    p_.reach = static_cast<int>(op.reach);
    p_.type = data.dtype == DType::kInt8 ? 0 : data.dtype == DType::kUint8 ? 1 : 2;
    p_.zero_point = op.in_zero_point;
    p_.exponent = op.exponent, p_.knorm = op.knorm, p_.weight = op.weight, p_.multiplier = op.multiplier;
    p_.to = target_of(op.out.dtype, op.out.zero_point);
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    LrnParams p = p_;
    p.data = in[0].data, p.out = out[0].data;
    launch_flat(lrn_kernel, p.size, stream_of(*context), p);
  }

 private:
  LrnParams p_;
};

}  // namespace

MXQ_CUDA_FACTORY(lrn) {
  if (!fits_32_bits(in, why_not) || !fits_32_bits(out, why_not)) return nullptr;
  return std::make_shared<Lrn>(static_cast<const LrnOp&>(op), in[0]);
}

}  // namespace cuda
}  // namespace mxq
