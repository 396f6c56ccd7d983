#include "../ops/pooling.h"
#include "arithmetic.cuh"
#include "implementations.h"

namespace mxq {
namespace cuda {
namespace {

struct PoolParams {
  const uint8_t* data;
  void* out;
  int in_h, in_w, channels, out_h, out_w;
  int kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
  int is_unsigned, is_max, count_pad, zero_point;
  double in_scale, out_scale;
  Target to;
  unsigned size;  // threads
};

// The part of a window that has data, by the pixel of the output.
struct Window {
  int64_t image;
  int y0, x0, top, left, bottom, right;

  __device__ Window(const PoolParams& p, unsigned pixel) {
    const int ow = static_cast<int>(pixel % p.out_w), oh = static_cast<int>(pixel / p.out_w % p.out_h);
    image = pixel / p.out_w / p.out_h;
    y0 = oh * p.stride_h - p.pad_h;
    x0 = ow * p.stride_w - p.pad_w;
    top = y0 > 0 ? y0 : 0;
    left = x0 > 0 ? x0 : 0;
    bottom = y0 + p.kernel_h < p.in_h ? y0 + p.kernel_h : p.in_h;
    right = x0 + p.kernel_w < p.in_w ? x0 + p.kernel_w : p.in_w;
  }

  // The multiplier of an average.
  __device__ float factor(const PoolParams& p) const {
    int rows = bottom - top, columns = right - left;
    if (p.count_pad) {  // what sticks out of the padding on the far side does not count
      rows = (y0 + p.kernel_h < p.in_h + p.pad_h ? y0 + p.kernel_h : p.in_h + p.pad_h) - y0;
      columns = (x0 + p.kernel_w < p.in_w + p.pad_w ? x0 + p.kernel_w : p.in_w + p.pad_w) - x0;
    }
    const double count = rows > 0 && columns > 0 ? static_cast<double>(static_cast<int64_t>(rows) * columns) : 1.0;
    return static_cast<float>(__ddiv_rn(p.in_scale, __dmul_rn(p.out_scale, count)));
  }
};

// Channels of one window: kWidth neighbours, read as a word where it is 4.
template <int kWidth>
__global__ void pool_kernel(PoolParams p) {
  const unsigned at = flat_index();
  if (at >= p.size) return;
  const unsigned across = p.channels / kWidth, pixel = at / across;
  const int channel = static_cast<int>(at % across) * kWidth;
  const Window w(p, pixel);
  int largest[kWidth], sum[kWidth];
  for (int i = 0; i < kWidth; ++i) largest[i] = p.is_unsigned ? 0 : -128, sum[i] = 0;
  for (int y = w.top; y < w.bottom; ++y) {
    for (int x = w.left; x < w.right; ++x) {
      const uint8_t* from = p.data + ((w.image * p.in_h + y) * p.in_w + x) * p.channels + channel;
      const unsigned word = kWidth == 4 ? __ldg(reinterpret_cast<const unsigned*>(from)) : __ldg(from);
      for (int i = 0; i < kWidth; ++i) {
        const unsigned byte = word >> 8 * i & 255;
        const int q = p.is_unsigned ? static_cast<int>(byte) : static_cast<int8_t>(byte);
        largest[i] = q > largest[i] ? q : largest[i];
        sum[i] += q - p.zero_point;
      }
    }
  }
  const int64_t to = static_cast<int64_t>(pixel) * p.channels + channel;
  if (p.is_max) {
    for (int i = 0; i < kWidth; ++i) static_cast<uint8_t*>(p.out)[to + i] = static_cast<uint8_t>(largest[i]);
    return;
  }
  const float factor = w.factor(p);
  for (int i = 0; i < kWidth; ++i) store(p.to, p.out, to + i, __fmul_rn(static_cast<float>(sum[i]), factor));
}

// float32 data: the sum in the order of memory, one channel a thread.
__global__ void pool_float_kernel(PoolParams p) {
  const unsigned at = flat_index();
  if (at >= p.size) return;
  const Window w(p, at / p.channels);
  const float* const data = reinterpret_cast<const float*>(p.data) + at % p.channels;
  float largest = -3.402823466e38f, sum = 0.0f;
  for (int y = w.top; y < w.bottom; ++y) {
    for (int x = w.left; x < w.right; ++x) {
      const float value = __ldg(data + ((w.image * p.in_h + y) * p.in_w + x) * p.channels);
      largest = value > largest ? value : largest;
      sum = __fadd_rn(sum, value);
    }
  }
  static_cast<float*>(p.out)[at] = p.is_max ? largest : __fmul_rn(sum, w.factor(p));
}

class Pooling : public Kernel {
 public:
  Pooling(const PoolingOp& op, const TensorType& data) {
    const PoolGeometry g = op.geometry(data.shape);
    auto set = [](int* to, int64_t value) { *to = static_cast<int>(value); };
    p_ = PoolParams{};
    set(&p_.in_h, g.h.in), set(&p_.in_w, g.w.in), set(&p_.channels, g.channels);
    set(&p_.out_h, g.h.out), set(&p_.out_w, g.w.out);
    set(&p_.kernel_h, g.h.kernel), set(&p_.kernel_w, g.w.kernel);
    set(&p_.stride_h, g.h.stride), set(&p_.stride_w, g.w.stride);
    set(&p_.pad_h, g.h.pad), set(&p_.pad_w, g.w.pad);
    p_.is_unsigned = data.dtype == DType::kUint8;
    is_float_ = data.dtype == DType::kFloat32;
    p_.is_max = op.is_max;
    p_.count_pad = op.count_include_pad && !op.is_global;
    p_.zero_point = op.in_zero_point;
    p_.in_scale = op.in_scale, p_.out_scale = op.out.scale;
    p_.to = target_of(op.out.dtype, op.out.zero_point);
    pixels_ = g.batch * g.h.out * g.w.out;
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    PoolParams p = p_;
    p.data = in[0].as<const uint8_t>();
    p.out = out[0].data;
    if (is_float_) {
      p.size = static_cast<unsigned>(pixels_ * p.channels);
      launch_flat(pool_float_kernel, p.size, stream_of(*context), p);
      return;
    }
    const bool words = p.channels % 4 == 0 && reinterpret_cast<uintptr_t>(p.data) % 4 == 0;
    p.size = static_cast<unsigned>(pixels_ * p.channels / (words ? 4 : 1));
    launch_flat(words ? pool_kernel<4> : pool_kernel<1>, p.size, stream_of(*context), p);
  }

 private:
  PoolParams p_;
  int64_t pixels_;
  bool is_float_;
};

}  // namespace

MXQ_CUDA_FACTORY(pooling) {
  if (!fits_32_bits(in, why_not) || !fits_32_bits(out, why_not)) return nullptr;
  return std::make_shared<Pooling>(static_cast<const PoolingOp&>(op), in[0]);
}

}  // namespace cuda
}  // namespace mxq
