#include "../ops/dequantize.h"
#include "../ops/layout.h"
#include "implementations.h"
#include "planes.cuh"
#include "run_time_range.cuh"

namespace mxq {
namespace cuda {
namespace {

struct ToFloat {
  using Value = float;
  Planes planes;
  const void* data;
  float* out;
  int type;  // 0 int8, 1 uint8, 2 int32
  float scale;
  int zero_point;
  const float *low, *high;  // where the range is an input
  const float* scales;      // where there is one for each channel
  unsigned after, channels;
  FaultSink fault;

  struct Block {
    float scale;
    int zero_point;
  };
  __device__ Block begin() const {
    Block block{scale, zero_point};
    if (low) range_given(*low, *high, type == 0, fault, &block.scale, &block.zero_point);
    return block;
  }
  __device__ float value(const Block& block, unsigned at) const {
    const float by = scales ? __ldg(scales + at / after % channels) : block.scale;
    if (type == 2) return __fmul_rn(static_cast<float>(__ldg(static_cast<const int*>(data) + at)), by);
    const int q = read_8bit(static_cast<const uint8_t*>(data), at, type);
    return __fmul_rn(static_cast<float>(q - block.zero_point), by);
  }
  __device__ void store(const Block&, unsigned at, float x) const { out[at] = x; }
};

class Dequantize : public Kernel {
 public:
  Dequantize(const DequantizeOp& op, const TensorType& data) {
    p_ = ToFloat{};
    p_.planes = planes_from_last(data.shape, op.channels_first);
    p_.type = data.dtype == DType::kInt8 ? 0 : data.dtype == DType::kUint8 ? 1 : 2;
    p_.scale = op.scale, p_.zero_point = op.zero_point;
    if (op.calibrated) {
      const QParams q = range_to_qparams(op.lo, op.hi, data.dtype);
      p_.scale = q.scale, p_.zero_point = q.zero_point;
    }
    ranges_ = op.ranges;
    p_.after = p_.channels = 1;
    if (ranges_ == DequantizeOp::Ranges::kChannel) {
      p_.zero_point = 0;
      const int64_t axis = axis_of(data.shape, op.axis);
      for (size_t i = axis + 1; i < data.shape.size(); ++i) p_.after *= static_cast<unsigned>(data.shape[i]);
      p_.channels = static_cast<unsigned>(data.shape[axis]);
    }
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    ToFloat p = p_;
    p.data = in[0].data;
    p.out = out[0].as<float>();
    if (ranges_ == DequantizeOp::Ranges::kTensor) {
      p.low = in[1].as<const float>(), p.high = in[2].as<const float>();
      p.fault = fault_of(*context);
    }
    if (ranges_ == DequantizeOp::Ranges::kChannel) p.scales = in[1].as<const float>();
    launch_planes(p, stream_of(*context));
  }

 private:
  DequantizeOp::Ranges ranges_;
  ToFloat p_;
};

}  // namespace

MXQ_CUDA_FACTORY(dequantize) {
  if (!fits_32_bits(in, why_not) || !fits_32_bits(out, why_not)) return nullptr;
  if (static_cast<const DequantizeOp&>(op).fine_steps > 1) return dequantize_fine(op, in, out, why_not);
  return std::make_shared<Dequantize>(static_cast<const DequantizeOp&>(op), in[0]);
}

}  // namespace cuda
}  // namespace mxq
