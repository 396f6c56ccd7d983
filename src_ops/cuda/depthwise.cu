// Depthwise convolution: a channel of input for a channel of output. There is nothing to share between channels, so
// this is about reading the image as seldom as possible: a thread takes four channels and a strip of outputs along a
// row, and every word it reads serves all windows of the strip that see it.
#include "fault.h"
#include "implementations.h"
#include "linear.h"
#include "packed_weights.h"
#include "ptx.cuh"

namespace mxq {
namespace cuda {
namespace {

constexpr int kStrip = 4;  // outputs along a row

struct DepthwiseParams {
  LinearParams linear;
  int strips, kernel_h, kernel_w, zero_point;
  unsigned size;  // threads with work
};

// Four channels of one tap. A dot product with a weight that has one byte set takes one channel without unpacking.
template <bool kUnsigned>
__device__ inline void add_tap(int sums[4], uint32_t data, uint32_t weights) {
  sums[0] = dot4<kUnsigned>(data, weights & 0x000000FFu, sums[0]);
  sums[1] = dot4<kUnsigned>(data, weights & 0x0000FF00u, sums[1]);
  sums[2] = dot4<kUnsigned>(data, weights & 0x00FF0000u, sums[2]);
  sums[3] = dot4<kUnsigned>(data, weights & 0xFF000000u, sums[3]);
}

// kKernel: width and height of the window where both are known at compile time, with kStride; 0 for any.
template <bool kUnsigned, int kKernel, int kStride>
__global__ void depthwise_kernel(DepthwiseParams p) {
  const LinearParams& l = p.linear;
  const View& v = l.view;
  const unsigned at = flat_index();
  if (at >= p.size) return;
  const int quads = l.out_c / 4, quad = static_cast<int>(at % quads);
  const unsigned strip = at / quads;
  const unsigned row = strip / p.strips;
  const int y0 = static_cast<int>(row % l.out_h) * v.stride_h - v.pad_top,
            out_x = static_cast<int>(strip % p.strips) * kStrip;
  const int64_t image = row / l.out_h;
  const uint8_t* const data = l.data + image * v.image_pitch + 4 * quad;
  const int8_t* const weights = l.weight + 4 * quad;  // a tap has out_c of them
  const uint32_t outside = static_cast<uint32_t>(p.zero_point & 255) * 0x01010101u;
  auto pixel = [&](int y, int x) {
    const bool inside = static_cast<unsigned>(y) < static_cast<unsigned>(v.in_h) &&
                        static_cast<unsigned>(x) < static_cast<unsigned>(v.in_w);
    return inside ? __ldg(reinterpret_cast<const unsigned*>(data + y * v.row_pitch +
                                                            static_cast<int64_t>(x) * v.pixel_pitch))
                  : outside;
  };
  auto weight = [&](int tap) {
    return __ldg(reinterpret_cast<const unsigned*>(weights + static_cast<int64_t>(tap) * l.out_c));
  };
  int sums[kStrip][4] = {};
  const int x0 = out_x * v.stride_w - v.pad_left;
  if (kKernel > 0) {
    constexpr int kWidth = (kStrip - 1) * kStride + kKernel;
#pragma unroll
    for (int ky = 0; ky < kKernel; ++ky) {
      uint32_t line[kWidth > 0 ? kWidth : 1];
#pragma unroll
      for (int x = 0; x < kWidth; ++x) line[x] = pixel(y0 + ky, x0 + x);
#pragma unroll
      for (int kx = 0; kx < kKernel; ++kx) {
        const uint32_t w = weight(ky * kKernel + kx);
#pragma unroll
        for (int i = 0; i < kStrip; ++i) add_tap<kUnsigned>(sums[i], line[i * kStride + kx], w);
      }
    }
  } else {
    for (int ky = 0; ky < p.kernel_h; ++ky) {
      for (int kx = 0; kx < p.kernel_w; ++kx) {
        const uint32_t w = weight(ky * p.kernel_w + kx);
#pragma unroll
        for (int i = 0; i < kStrip; ++i) {
          add_tap<kUnsigned>(sums[i], pixel(y0 + ky * v.dilate_h, x0 + i * v.stride_w + kx * v.dilate_w), w);
        }
      }
    }
  }
  Finish<4> finish;
  finish.load(l, 4 * quad);
#pragma unroll
  for (int i = 0; i < kStrip; ++i) {
    if (out_x + i < l.out_w)
      finish.store(l, sums[i], (static_cast<int64_t>(row) * l.out_w + out_x + i) * l.out_c + 4 * quad, 4 * quad);
  }
}

template <bool kUnsigned>
void launch_depthwise(const DepthwiseParams& p, cudaStream_t stream) {
  const View& v = p.linear.view;
  const bool is_3x3 =
      p.kernel_h == 3 && p.kernel_w == 3 && v.dilate_h == 1 && v.dilate_w == 1 && v.stride_h == v.stride_w;
  const auto kernel = is_3x3 && v.stride_w == 1   ? depthwise_kernel<kUnsigned, 3, 1>
                      : is_3x3 && v.stride_w == 2 ? depthwise_kernel<kUnsigned, 3, 2>
                                                  : depthwise_kernel<kUnsigned, 0, 1>;
  launch_flat(kernel, p.size, stream, p);
}

class Depthwise : public Kernel {
 public:
  Depthwise(const LinearOp& op, const std::vector<TensorType>& in, KernelPtr unaligned)
      : stage_(op.stage), unaligned_(std::move(unaligned)), data_unsigned_(in[0].dtype == DType::kUint8) {
    const ConvGeometry g = op.geometry(in[0].shape);
    const int index = stage_.residual_index();
    p_ = DepthwiseParams{};
    LinearParams& l = p_.linear;
    View& v = l.view;
    auto set = [](int* to, int64_t value) { *to = static_cast<int>(value); };
    set(&v.in_h, g.in_h), set(&v.in_w, g.in_w), set(&v.pixel_pitch, g.in_c);
    v.row_pitch = g.in_w * g.in_c;
    v.image_pitch = g.in_h * v.row_pitch;
    set(&v.stride_h, g.stride_h), set(&v.stride_w, g.stride_w), set(&v.dilate_h, g.dilate_h),
        set(&v.dilate_w, g.dilate_w);
    set(&v.pad_top, g.pad_top), set(&v.pad_left, g.pad_left);
    set(&l.pixels, g.pixels()), set(&l.out_h, g.out_h), set(&l.out_w, g.out_w), set(&l.out_c, g.out_c);
    set(&p_.kernel_h, g.kernel_h), set(&p_.kernel_w, g.kernel_w);
    l.splits = 1;
    l.stage = stage_of(stage_, index < 0 ? DType::kUnknown : in[index].dtype);
    p_.zero_point = stage_.in_zero_point;
    p_.strips = divide_up(l.out_w, kStrip);
    p_.size = static_cast<unsigned>(g.batch * g.out_h * p_.strips * (g.out_c / 4));
    pack_ = PackParams{};
    pack_.layout = packed_layout(l.out_c, p_.kernel_h * p_.kernel_w);
    pack_.out_c = l.out_c, pack_.group_in = 1;
    pack_.kernel_h = p_.kernel_h, pack_.kernel_w = p_.kernel_w;
    pack_.run = pack_.run_padded = pack_.inner = 1;
    pack_.depth = p_.kernel_h * p_.kernel_w;
    pack_.pitch = l.out_c;  // the taps of a channel, a row of all channels apart
    pack_.in_scale = stage_.in_scale, pack_.out_scale = stage_.out_scale;
    pack_.zero_point = stage_.in_zero_point;
    pack_.is_int32 = stage_.out_type == DType::kInt32;
    pack_.leaky_slope = stage_.act == Act::kLeaky ? stage_.act_alpha : 1.0f;
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    if (p_.size == 0) return;
    DepthwiseParams p = p_;
    LinearParams& l = p.linear;
    l.data = in[0].as<const uint8_t>();
    l.out = out[0].data;
    if (stage_.sum != Sum::kNone) l.residual = in[stage_.residual_index()].as<const uint8_t>();
    const uintptr_t addresses = reinterpret_cast<uintptr_t>(l.data) | reinterpret_cast<uintptr_t>(l.out) |
                                reinterpret_cast<uintptr_t>(l.residual);
    if (addresses % 4 != 0) {  // a view that starts inside another array
      unaligned_->run(in, out, context);
      return;
    }
    PackParams pack = pack_;
    char* memory = static_cast<char*>(context->workspace(pack.layout.bytes));
    const char* packed = find_packed(pack, in, stage_, *context, memory);
    l.weight = reinterpret_cast<const int8_t*>(packed + pack.layout.weight);
    l.multiplier = reinterpret_cast<const float*>(packed + pack.layout.multiplier);
    l.bias = reinterpret_cast<const float*>(packed + pack.layout.bias);
    l.slope = reinterpret_cast<const float*>(packed + pack.layout.slope);
    l.correction = reinterpret_cast<const int32_t*>(packed + pack.layout.correction);
    l.bias_int = reinterpret_cast<const int32_t*>(packed + pack.layout.bias_int);
    if (data_unsigned_) {
      launch_depthwise<true>(p, stream_of(*context));
    } else {
      launch_depthwise<false>(p, stream_of(*context));
    }
  }

 private:
  OutputStage stage_;
  KernelPtr unaligned_;
  bool data_unsigned_;
  DepthwiseParams p_;
  PackParams pack_;
};

}  // namespace

MXQ_CUDA_FACTORY(conv_depthwise) {
  const auto& linear = static_cast<const LinearOp&>(op);
  const ConvGeometry g = linear.geometry(in[0].shape);
  if (g.group_in() != 1 || g.group_out() != 1) {
    *why_not = "not one channel of input for each channel of output";
  } else if (g.out_c % 4 != 0) {
    *why_not = "the channels are no multiple of 4";
  } else if (chip().capability < 61) {
    *why_not = "compute capability below 6.1 has no dp4a";
  } else if (g.depth() > (int64_t{1} << 15)) {
    *why_not = "the sums might not fit 32 bits";
  }
  if (!why_not->empty()) return nullptr;
  KernelPtr direct = linear_direct(op, in, out, why_not);
  return direct ? std::make_shared<Depthwise>(linear, in, direct) : nullptr;
}

}  // namespace cuda
}  // namespace mxq
