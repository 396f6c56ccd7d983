#include "../ops/resize.h"
#include "arithmetic.cuh"
#include "implementations.h"

namespace mxq {
namespace cuda {
namespace {

struct ResizeParams {
  const void* data;
  void* out;
  unsigned size;
  int type;  // 0 int8, 1 uint8, 2 float32
  ResizeGeometry g;
  Target to;
};

__device__ inline float value_at(const ResizeParams& p, int64_t at) {
  if (p.type == 2) return __ldg(static_cast<const float*>(p.data) + at);
  return static_cast<float>(read_8bit(static_cast<const uint8_t*>(p.data), at, p.type));
}

// `first`: of the row.
__device__ inline float value_between(const ResizeParams& p, int64_t first, const ResizeTap& x, int channel) {
  const int64_t channels = p.g.channels;
  return blend(value_at(p, (first + x.low) * channels + channel), value_at(p, (first + x.high) * channels + channel),
               x.low_weight, x.high_weight);
}

__global__ void resize_kernel(ResizeParams p) {
  const unsigned at = flat_index();
  if (at >= p.size) return;
  const unsigned channels = static_cast<unsigned>(p.g.channels), pixel = at / channels;
  const unsigned height = static_cast<unsigned>(p.g.h.out), width = static_cast<unsigned>(p.g.w.out);
  const int channel = static_cast<int>(at % channels);
  const ResizeTap y = p.g.h.tap(pixel / width % height), x = p.g.w.tap(pixel % width);
  const int64_t top = static_cast<int64_t>(pixel / (width * height)) * p.g.h.in;
  const float upper = value_between(p, (top + y.low) * p.g.w.in, x, channel);
  const float lower = value_between(p, (top + y.high) * p.g.w.in, x, channel);
  store(p.to, p.out, at, blend(upper, lower, y.low_weight, y.high_weight));
}

class Resize : public Kernel {
 public:
  Resize(const ResizeGeometry& g, const TensorType& data, const TensorType& out)
      : p_{nullptr,
           nullptr,
           static_cast<unsigned>(num_elements(out.shape)),
           data.dtype == DType::kInt8    ? 0
           : data.dtype == DType::kUint8 ? 1
                                         : 2,
           g,
           target_of(data.dtype, 0)} {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    const cudaStream_t stream = stream_of(*context);
    if (p_.g.is_copy()) {
      const size_t bytes = p_.size * size_of(in[0].dtype());
      if (bytes > 0)
        check(cudaMemcpyAsync(out[0].data, in[0].data, bytes, cudaMemcpyDeviceToDevice, stream), "copying");
      return;
    }
    ResizeParams p = p_;
    p.data = in[0].data, p.out = out[0].data;
    launch_flat(resize_kernel, p.size, stream, p);
  }

 private:
  ResizeParams p_;
};

}  // namespace

MXQ_CUDA_FACTORY(resize) {
  if (!fits_32_bits(in, why_not) || !fits_32_bits(out, why_not)) return nullptr;
  return std::make_shared<Resize>(static_cast<const ResizeOp&>(op).geometry(in[0].shape), in[0], out[0]);
}

}  // namespace cuda
}  // namespace mxq
