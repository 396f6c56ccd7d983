#include "../ops/requantize.h"
#include "implementations.h"
#include "planes.cuh"
#include "run_time_range.cuh"

namespace mxq {
namespace cuda {
namespace {

struct Rescale {
  using Value = uint8_t;
  Planes planes;
  const void* data;
  uint8_t* out;
  int type;  // 0 int8, 1 uint8, 2 int32
  int in_zero_point;
  float factor;
  Target to;

  __device__ int begin() const { return 0; }
  __device__ uint8_t value(int, unsigned at) const {
    const int q = type == 2 ? __ldg(static_cast<const int*>(data) + at)
                            : read_8bit(static_cast<const uint8_t*>(data), at, type) - in_zero_point;
    return static_cast<uint8_t>(quantized(to, __fmul_rn(static_cast<float>(q), factor)));
  }
  __device__ void store(int, unsigned at, uint8_t q) const { out[at] = q; }
};

// The real numbers that int32 sums stand for, where their scale is known at run time only.
struct Sums {
  const int32_t* data;
  const float *scales, *bias;
  unsigned channels;
  int relu;

  __device__ float real(unsigned at) const {
    const unsigned channel = at % channels;
    float t = __fmul_rn(static_cast<float>(__ldg(data + at)), scales[channel]);
    if (bias) t = __fadd_rn(t, __ldg(bias + channel));
    return relu && !(t > 0.0f) ? 0.0f : t;
  }
};

struct SumScales {
  const float *low, *high, *weight_scale;
  float* scales;
  unsigned channels;
  int is_signed;
  FaultSink fault;
};

__global__ void sum_scales_kernel(SumScales p) {
  const unsigned channel = flat_index();
  if (channel >= p.channels) return;
  float scale = 1.0f;
  int zero_point = 0;
  range_given(*p.low, *p.high, p.is_signed, p.fault, &scale, &zero_point);
  if (zero_point != 0) report(p.fault, Found::kRangeOfSums, zero_point, *p.low);
  p.scales[channel] = __fmul_rn(scale, p.weight_scale[channel]);
}

struct SumRange : Sums {
  unsigned size;
  Range* range;
  FaultSink fault;
  __device__ float value(unsigned at) const { return real(at); }
};

struct FromSums : Sums {
  using Value = float;
  Planes planes;
  void* out;
  Target to;
  const Range* range;

  struct Block {
    Target to;
    float inverse;
  };
  __device__ Block begin() const {
    Block block{to, 1.0f};
    if (range) block.inverse = range->inverse, block.to.zero_point = range->zero_point;
    return block;
  }
  __device__ float value(const Block&, unsigned at) const { return real(at); }
  __device__ void store(const Block& block, unsigned at, float x) const {
    cuda::store(block.to, out, at, range ? __fmul_rn(x, block.inverse) : x);
  }
};

class Requantize : public Kernel {
 public:
  Requantize(const RequantizeOp& op, const TensorType& data) : op_(op), data_(data) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    const cudaStream_t stream = stream_of(*context);
    const Planes planes = planes_of(data_.shape, false);
    if (!op_.run_time) {
      const int type = data_.dtype == DType::kInt8 ? 0 : data_.dtype == DType::kUint8 ? 1 : 2;
      launch_planes(
          Rescale{planes, in[0].data, out[0].as<uint8_t>(), type, op_.in_zero_point,
                  multiplier(op_.in_scale, op_.qparams.scale), target_of(op_.out_type, op_.qparams.zero_point)},
          stream);
      return;
    }
    const unsigned channels = static_cast<unsigned>(data_.shape.back()), size = planes.columns;
    char* memory = static_cast<char*>(context->workspace(256 + channels * sizeof(float)));
    Range* range = reinterpret_cast<Range*>(memory);
    float* scales = reinterpret_cast<float*>(memory + 256);
    SumScales s{in[1].as<const float>(),     in[2].as<const float>(), in[3].as<const float>(), scales, channels,
                op_.in_type == DType::kInt8, fault_of(*context)};
    launch_flat(sum_scales_kernel, channels, stream, s);
    const Sums sums{in[0].as<const int32_t>(), scales, op_.no_bias ? nullptr : in[4].as<const float>(), channels,
                    op_.relu};
    FromSums p;
    static_cast<Sums&>(p) = sums;
    p.planes = planes;
    p.out = out[0].data;
    p.to = target_of(op_.out_type, 0);
    p.range = nullptr;
    if (op_.out_type != DType::kFloat32) {
      SumRange r;
      static_cast<Sums&>(r) = sums;
      r.size = size, r.range = range, r.fault = s.fault;
      launch_range(r, RangeEnds{range, out[1].as<float>(), out[2].as<float>(), op_.out_type == DType::kInt8, size == 0},
                   stream);
      p.range = range;
    }
    launch_planes(p, stream);
  }

 private:
  RequantizeOp op_;
  TensorType data_;
};

}  // namespace

MXQ_CUDA_FACTORY(requantize) {
  if (!fits_32_bits(in, why_not) || !fits_32_bits(out, why_not)) return nullptr;
  return std::make_shared<Requantize>(static_cast<const RequantizeOp&>(op), in[0]);
}

}  // namespace cuda
}  // namespace mxq
