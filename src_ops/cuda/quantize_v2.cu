#include "../ops/quantize_v2.h"
#include "byte_table.cuh"
#include "implementations.h"
#include "planes.cuh"
#include "run_time_range.cuh"

namespace mxq {
namespace cuda {
namespace {

struct FromFloat {
  using Value = uint8_t;
  Planes planes;
  const float* data;
  uint8_t* out;
  Target to;
  float inverse;
  const Range* range;  // instead of the above, where it is found at run time
  Scalars scalars;

  struct Block {
    Target to;
    float inverse;
  };
  __device__ Block begin() const {
    Block block{to, inverse};
    if (range) block.inverse = range->inverse, block.to.zero_point = range->zero_point;
    return block;
  }
  __device__ uint8_t value(const Block& block, unsigned at) const {
    return static_cast<uint8_t>(
        quantized(block.to, __fmul_rn(apply_scalars(scalars, __ldg(data + at)), block.inverse)));
  }
  __device__ void store(const Block&, unsigned at, uint8_t q) const { out[at] = q; }
};

struct FromBytes {
  using Value = uint8_t;
  Planes planes;
  const uint8_t* data;
  uint8_t* out;
  ByteTable table;

  __device__ const uint8_t* begin() const {
    __shared__ uint8_t values[256];
    take_table(table, values);
    return values;
  }
  __device__ uint8_t value(const uint8_t* values, unsigned at) const { return values[__ldg(data + at)]; }
  __device__ void store(const uint8_t*, unsigned at, uint8_t q) const { out[at] = q; }
};

struct FloatRange {
  const float* data;
  unsigned size;
  Range* range;
  FaultSink fault;
  __device__ float value(unsigned at) const { return __ldg(data + at); }
};

struct Constants {
  float *low, *high;
  float low_value, high_value;
};

__global__ void constants_kernel(Constants p) {
  *p.low = p.low_value;
  *p.high = p.high_value;
}

class QuantizeV2 : public Kernel {
 public:
  QuantizeV2(const QuantizeV2Op& op, const TensorType& data)
      : op_(op), type_(data.dtype), planes_(planes_of(data.shape, op.channels_last)) {
    const QParams& to = op_.qparams;
    const bool same =
        !op_.calibrated || (type_ == op_.out_type && op_.in_scale == to.scale && op_.in_zero_point == to.zero_point);
    const float factor = multiplier(op_.in_scale, to.scale);
    table_ = byte_table(type_, [&](int q) {
      const float t = static_cast<float>(q - op_.in_zero_point) * factor;
      return same ? q : mxq::round_clamp(t, to.zero_point, qmin(op_.out_type), qmax(op_.out_type));
    });
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    const cudaStream_t stream = stream_of(*context);
    if (type_ != DType::kFloat32) {
      if (!op_.calibrated) {
        Constants ends{out[1].as<float>(), out[2].as<float>(), 0, 0};
        range_of_type(type_, op_.in_scale, op_.in_zero_point, &ends.low_value, &ends.high_value);
        launch(constants_kernel, dim3(1), dim3(1), 0, stream, ends);
      }
      launch_planes(FromBytes{planes_, in[0].as<const uint8_t>(), out[0].as<uint8_t>(), table_}, stream);
      return;
    }
    FromFloat p{planes_,
                in[0].as<const float>(),
                out[0].as<uint8_t>(),
                target_of(op_.out_type, op_.qparams.zero_point),
                reciprocal(op_.qparams.scale),
                nullptr,
                op_.scalars};
    if (!op_.calibrated) {
      Range* range = static_cast<Range*>(context->workspace(sizeof(Range)));
      const unsigned size = static_cast<unsigned>(cuda::size_of(planes_));
      launch_range(FloatRange{p.data, size, range, fault_of(*context)},
                   RangeEnds{range, out[1].as<float>(), out[2].as<float>(), op_.out_type == DType::kInt8, size == 0},
                   stream);
      p.range = range;
    }
    launch_planes(p, stream);
  }

 private:
  QuantizeV2Op op_;
  DType type_;
  Planes planes_;
  ByteTable table_;
};

}  // namespace

MXQ_CUDA_FACTORY(quantize_v2) {
  if (!fits_32_bits(in, why_not) || !fits_32_bits(out, why_not)) return nullptr;
  if (static_cast<const QuantizeV2Op&>(op).fine_steps > 1) return quantize_fine(op, in, out, why_not);
  return std::make_shared<QuantizeV2>(static_cast<const QuantizeV2Op&>(op), in[0]);
}

}  // namespace cuda
}  // namespace mxq
