#include "../ops/elemwise.h"
#include "arithmetic.cuh"
#include "implementations.h"

namespace mxq {
namespace cuda {
namespace {

constexpr int kMaxAxes = 8;

struct ElemwiseParams {
  const uint8_t *a, *b;
  void* out;
  int a_unsigned, b_unsigned, a_zero, b_zero, is_mul;
  float a_multiplier, b_multiplier;
  Activation act;
  Target to;
  unsigned size;
  int axes;
  unsigned axis_size[kMaxAxes], a_stride[kMaxAxes], b_stride[kMaxAxes];
};

__device__ inline float combine(const ElemwiseParams& p, int a, int b) {
  a -= p.a_zero;
  b -= p.b_zero;
  const float t = p.is_mul ? __fmul_rn(static_cast<float>(a * b), p.a_multiplier)
                           : __fadd_rn(__fmul_rn(static_cast<float>(a), p.a_multiplier),
                                       __fmul_rn(static_cast<float>(b), p.b_multiplier));
  return activate(p.act, t);
}

// Both inputs of the shape of the output: four elements a thread.
__global__ void same_shape_kernel(ElemwiseParams p) {
  const unsigned at = flat_index();
  if (at >= p.size) return;
  const unsigned a = reinterpret_cast<const unsigned*>(p.a)[at], b = reinterpret_cast<const unsigned*>(p.b)[at];
  unsigned packed = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned x = a >> 8 * i & 255, y = b >> 8 * i & 255;
    const float t = combine(p, p.a_unsigned ? static_cast<int>(x) : static_cast<int8_t>(x),
                            p.b_unsigned ? static_cast<int>(y) : static_cast<int8_t>(y));
    if (p.to.is_float) {
      static_cast<float*>(p.out)[4 * static_cast<int64_t>(at) + i] = t;
    } else {
      packed |= static_cast<unsigned>(quantized(p.to, t) & 255) << 8 * i;
    }
  }
  if (!p.to.is_float) static_cast<unsigned*>(p.out)[at] = packed;
}

__global__ void broadcast_kernel(ElemwiseParams p) {
  const unsigned at = flat_index();
  if (at >= p.size) return;
  unsigned rest = at, a = 0, b = 0;
  for (int axis = p.axes - 1; axis >= 0; --axis) {
    const unsigned i = rest % p.axis_size[axis];
    rest /= p.axis_size[axis];
    a += i * p.a_stride[axis];
    b += i * p.b_stride[axis];
  }
  store(p.to, p.out, at, combine(p, read_8bit(p.a, a, p.a_unsigned), read_8bit(p.b, b, p.b_unsigned)));
}

class Elemwise : public Kernel {
 public:
  Elemwise(const ElemwiseOp& op, const std::vector<TensorType>& in, const Shape& out, const BroadcastAxes& axes) {
    p_ = ElemwiseParams{};
    p_.a_unsigned = in[0].dtype == DType::kUint8, p_.b_unsigned = in[1].dtype == DType::kUint8;
    p_.a_zero = op.a_zero_point, p_.b_zero = op.b_zero_point;
    p_.is_mul = op.kind == ElemwiseOp::Kind::kMul;
    p_.a_multiplier = op.a_multiplier, p_.b_multiplier = op.b_multiplier;
    p_.act = op.act;
    p_.to = target_of(op.out.dtype, op.out.zero_point);
    p_.size = static_cast<unsigned>(num_elements(out));
    p_.axes = static_cast<int>(axes.size.size());
    for (int i = 0; i < p_.axes; ++i) {
      p_.axis_size[i] = static_cast<unsigned>(axes.size[i]);
      p_.a_stride[i] = static_cast<unsigned>(axes.a_stride[i]);
      p_.b_stride[i] = static_cast<unsigned>(axes.b_stride[i]);
    }
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    ElemwiseParams p = p_;
    p.a = in[0].as<const uint8_t>(), p.b = in[1].as<const uint8_t>();
    p.out = out[0].data;
    const bool same = p.axes == 1 && p.a_stride[0] == 1 && p.b_stride[0] == 1;
    const uintptr_t all = reinterpret_cast<uintptr_t>(p.a) | reinterpret_cast<uintptr_t>(p.b) |
                          reinterpret_cast<uintptr_t>(p.out) | p.size;
    if (same && all % 4 == 0) {
      p.size /= 4;
      launch_flat(same_shape_kernel, p.size, stream_of(*context), p);
    } else {
      launch_flat(broadcast_kernel, p.size, stream_of(*context), p);
    }
  }

 private:
  ElemwiseParams p_;
};

}  // namespace

MXQ_CUDA_FACTORY(elemwise) {
  if (!fits_32_bits(in, why_not) || !fits_32_bits(out, why_not)) return nullptr;
  const BroadcastAxes axes = broadcast_axes(in[0].shape, in[1].shape);
  if (axes.size.size() > kMaxAxes) {
    *why_not = "the inputs broadcast along more than 8 separate axes";
    return nullptr;
  }
  return std::make_shared<Elemwise>(static_cast<const ElemwiseOp&>(op), in, out[0].shape, axes);
}

}  // namespace cuda
}  // namespace mxq
