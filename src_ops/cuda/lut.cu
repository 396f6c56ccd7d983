#include "../ops/layout.h"
#include "../ops/lut.h"
#include "implementations.h"
#include "planes.cuh"

namespace mxq {
namespace cuda {
namespace {

template <class T>
struct LookUp {
  using Value = T;
  Planes planes;
  const uint8_t* data;
  const T* table;
  T* out;
  unsigned flip;             // of the bytes of int8 data: entry 0 is for -128
  unsigned after, channels;  // channels is 0 where there is one table for all

  __device__ const T* begin() const {
    __shared__ T values[256];
    if (channels) return nullptr;
    for (unsigned i = threadIdx.x; i < 256; i += blockDim.x) values[i] = table[i];
    __syncthreads();
    return values;
  }
  __device__ T value(const T* values, unsigned at) const {
    const unsigned entry = __ldg(data + at) ^ flip;
    return values ? values[entry] : __ldg(table + at / after % channels * 256 + entry);
  }
  __device__ void store(const T*, unsigned at, T x) const { out[at] = x; }
};

class Lut : public Kernel {
 public:
  Lut(const LutOp& op, const TensorType& data, const TensorType& table)
      : planes_(planes_of(data.shape, op.channels_last)), flip_(data.dtype == DType::kInt8 ? 128 : 0) {
    if (table.shape.size() != 2) return;
    const int64_t axis = axis_of(data.shape, op.axis);
    for (size_t i = axis + 1; i < data.shape.size(); ++i) after_ *= static_cast<unsigned>(data.shape[i]);
    channels_ = static_cast<unsigned>(data.shape[axis]);
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    if (out[0].dtype() == DType::kFloat32) {
      look_up<float>(in, out, stream_of(*context));
    } else {
      look_up<uint8_t>(in, out, stream_of(*context));
    }
  }

 private:
  template <class T>
  void look_up(const std::vector<Tensor>& in, const std::vector<Tensor>& out, cudaStream_t stream) const {
    launch_planes(
        LookUp<T>{planes_, in[0].as<const uint8_t>(), in[1].as<const T>(), out[0].as<T>(), flip_, after_, channels_},
        stream);
  }

  Planes planes_;
  unsigned flip_, after_ = 1, channels_ = 0;
};

}  // namespace

MXQ_CUDA_FACTORY(lut) {
  if (!fits_32_bits(in, why_not) || !fits_32_bits(out, why_not)) return nullptr;
  return std::make_shared<Lut>(static_cast<const LutOp&>(op), in[0], in[1]);
}

}  // namespace cuda
}  // namespace mxq
