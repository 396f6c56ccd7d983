// A value in two 8-bit parts, whole steps and the rest, and back: fine_steps of quantize_v2 and dequantize.
#include "../ops/dequantize.h"
#include "../ops/layout.h"
#include "../ops/quantize_v2.h"
#include "arithmetic.cuh"
#include "implementations.h"

namespace mxq {
namespace cuda {
namespace {

struct SplitParams {
  const float* data;
  uint8_t* out;
  unsigned size, channels, inner;
  float inverse;
  int zero_point, fine_steps, low, high, channels_last;
  Scalars scalars;
};

// Twin of split_fine() in core/qmath.h. The order of reads is that of the data.
__global__ void split_kernel(SplitParams p) {
  const unsigned at = flat_index();
  if (at >= p.size) return;
  const unsigned s = at % p.inner, c = at / p.inner % p.channels, n = at / p.inner / p.channels;
  const float t =
      __fadd_rn(__fmul_rn(apply_scalars(p.scalars, __ldg(p.data + at)), p.inverse), static_cast<float>(p.zero_point));
  const float down = floorf(t);
  const int whole = !(down > static_cast<float>(p.low)) ? p.low
                    : down > static_cast<float>(p.high) ? p.high
                                                        : static_cast<int>(down);
  const float steps = static_cast<float>(p.fine_steps);
  const float fine = rintf(__fmul_rn(__fadd_rn(t, -static_cast<float>(whole)), steps));
  const int rest = p.zero_point + (!(fine > 0.0f) ? 0 : fine > steps ? p.fine_steps : static_cast<int>(fine));
  for (unsigned part = 0; part < 2; ++part) {
    const int64_t to = part * p.channels + c, all = 2ll * p.channels;
    const int64_t where =
        p.channels_last ? (static_cast<int64_t>(n) * p.inner + s) * all + to : (n * all + to) * p.inner + s;
    const int value = part ? (rest < p.high ? rest : p.high) : whole;
    p.out[where] = static_cast<uint8_t>(value);
  }
}

struct JoinParams {
  const uint8_t* data;
  float* out;
  unsigned size, block;  // block: of one example of the output
  int is_unsigned, zero_point;
  float scale, fine;
};

__global__ void join_kernel(JoinParams p) {
  const unsigned at = flat_index();
  if (at >= p.size) return;
  const int64_t whole = static_cast<int64_t>(at / p.block) * 2 * p.block + at % p.block;
  const int a = read_8bit(p.data, whole, p.is_unsigned), b = read_8bit(p.data, whole + p.block, p.is_unsigned);
  p.out[at] = __fadd_rn(__fmul_rn(static_cast<float>(a - p.zero_point), p.scale),
                        __fmul_rn(static_cast<float>(b - p.zero_point), p.fine));
}

class Split : public Kernel {
 public:
  Split(const QuantizeV2Op& op, const Shape& data) : p_{} {
    const int64_t axis = axis_of(data, op.axis);
    p_.size = static_cast<unsigned>(num_elements(data));
    p_.channels = static_cast<unsigned>(data[axis]);
    p_.inner = 1;
    for (size_t i = axis + 1; i < data.size(); ++i) p_.inner *= static_cast<unsigned>(data[i]);
    p_.inverse = reciprocal(op.qparams.scale);
    p_.zero_point = op.qparams.zero_point, p_.fine_steps = op.fine_steps;
    p_.low = qmin(op.out_type), p_.high = qmax(op.out_type);
    p_.channels_last = op.channels_last;
    p_.scalars = op.scalars;
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    SplitParams p = p_;
    p.data = in[0].as<const float>(), p.out = out[0].as<uint8_t>();
    launch_flat(split_kernel, p.size, stream_of(*context), p);
  }

 private:
  SplitParams p_;
};

class Join : public Kernel {
 public:
  Join(const DequantizeOp& op, const TensorType& data, const Shape& out) : p_{} {
    const QParams from = range_to_qparams(op.lo, op.hi, data.dtype);
    p_.size = static_cast<unsigned>(num_elements(out));
    p_.block = p_.size ? p_.size / static_cast<unsigned>(out[0]) : 1;
    p_.is_unsigned = data.dtype == DType::kUint8;
    p_.zero_point = from.zero_point, p_.scale = from.scale;
    p_.fine = multiplier(from.scale, op.fine_steps);
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    JoinParams p = p_;
    p.data = in[0].as<const uint8_t>(), p.out = out[0].as<float>();
    launch_flat(join_kernel, p.size, stream_of(*context), p);
  }

 private:
  JoinParams p_;
};

}  // namespace

MXQ_CUDA_FACTORY(quantize_fine) {
  (void)out;
  (void)why_not;
  return std::make_shared<Split>(static_cast<const QuantizeV2Op&>(op), in[0].shape);
}

MXQ_CUDA_FACTORY(dequantize_fine) {
  (void)why_not;
  return std::make_shared<Join>(static_cast<const DequantizeOp&>(op), in[0], out[0].shape);
}

}  // namespace cuda
}  // namespace mxq
