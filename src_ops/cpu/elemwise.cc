// Rows of the last merged axis, on which each input either runs along or stands still.
#include "../ops/elemwise.h"

#include <cstring>
#include <utility>

#include "../core/qmath.h"
#include "clones.h"
#include "elemwise_avx512.h"
#include "isa.h"
#include "parallel.h"

namespace mxq {
namespace {

// Adding this to a float of small absolute value leaves its nearest integer (half to even) in the low mantissa bits.

inline float centred(uint8_t q, const Operand& x) { return static_cast<float>((q ^ x.flip) - x.zero_point); }

// Every condition is known when the loop is compiled, so that it becomes straight vector code. The product of two
// centred values is exact in float32, as it is below 2^24.
template <bool kMul, bool kRepeatB, bool kLeaky, class Out>
__attribute__((always_inline)) inline void loop(const uint8_t* __restrict a, const uint8_t* __restrict b,
                                                Out* __restrict dst, int64_t n, const ElemwiseTerms& terms) {
  const ElemwiseTerms p = terms;
  const float zero_point = static_cast<float>(p.zero_point);
  const float lo = static_cast<float>(qmin(p.out_type)), hi = static_cast<float>(qmax(p.out_type));
  const float first_b = centred(b[0], p.b) * p.b.multiplier;
  for (int64_t i = 0; i < n; ++i) {
    const float x = centred(a[i], p.a);
    const float y = kRepeatB ? first_b : centred(b[i], p.b) * p.b.multiplier;
    float t;
    if (kMul) {
      t = x * y;
      t = t * p.a.multiplier;
    } else {
      t = x * p.a.multiplier;
      t = t + y;
    }
    if (kLeaky) t = t < 0.0f ? t * p.act.slope : t;
    t = t > p.act.low ? t : p.act.low;
    t = t < p.act.high ? t : p.act.high;
    if (sizeof(Out) == sizeof(float)) {
      dst[i] = static_cast<Out>(t);
    } else {
      t = t + zero_point;
      t = t > lo ? t : lo;
      t = t < hi ? t : hi;
      const float shifted = t + kRoundToBits;
      int32_t bits;
      std::memcpy(&bits, &shifted, sizeof(bits));
      dst[i] = static_cast<Out>(bits);
    }
  }
}

// One function per combination, each in its own right: clones of templates do not link.
#define MXQ_ELEMWISE_LOOP(name, mul, repeat_b, leaky, out)                                                     \
  MXQ_CLONES void name(const uint8_t* a, const uint8_t* b, void* dst, int64_t n, const ElemwiseTerms& terms) { \
    loop<mul, repeat_b, leaky>(a, b, static_cast<out*>(dst), n, terms);                                        \
  }
MXQ_ELEMWISE_LOOP(add_bytes, false, false, false, uint8_t)
MXQ_ELEMWISE_LOOP(add_floats, false, false, false, float)
MXQ_ELEMWISE_LOOP(add_leaky_bytes, false, false, true, uint8_t)
MXQ_ELEMWISE_LOOP(add_leaky_floats, false, false, true, float)
MXQ_ELEMWISE_LOOP(add_repeated_bytes, false, true, false, uint8_t)
MXQ_ELEMWISE_LOOP(add_repeated_floats, false, true, false, float)
MXQ_ELEMWISE_LOOP(add_repeated_leaky_bytes, false, true, true, uint8_t)
MXQ_ELEMWISE_LOOP(add_repeated_leaky_floats, false, true, true, float)
MXQ_ELEMWISE_LOOP(mul_bytes, true, false, false, uint8_t)
MXQ_ELEMWISE_LOOP(mul_floats, true, false, false, float)
MXQ_ELEMWISE_LOOP(mul_leaky_bytes, true, false, true, uint8_t)
MXQ_ELEMWISE_LOOP(mul_leaky_floats, true, false, true, float)
MXQ_ELEMWISE_LOOP(mul_repeated_bytes, true, true, false, uint8_t)
MXQ_ELEMWISE_LOOP(mul_repeated_floats, true, true, false, float)
MXQ_ELEMWISE_LOOP(mul_repeated_leaky_bytes, true, true, true, uint8_t)
MXQ_ELEMWISE_LOOP(mul_repeated_leaky_floats, true, true, true, float)
#undef MXQ_ELEMWISE_LOOP

// [multiplication][b repeats][leaky][float32 output]
constexpr ElemwiseLoop kLoops[2][2][2][2] = {
    {{{add_bytes, add_floats}, {add_leaky_bytes, add_leaky_floats}},
     {{add_repeated_bytes, add_repeated_floats}, {add_repeated_leaky_bytes, add_repeated_leaky_floats}}},
    {{{mul_bytes, mul_floats}, {mul_leaky_bytes, mul_leaky_floats}},
     {{mul_repeated_bytes, mul_repeated_floats}, {mul_repeated_leaky_bytes, mul_repeated_leaky_floats}}}};

Operand operand(DType dtype, int zero_point, float multiplier) {
  const int flip = dtype == DType::kInt8 ? 128 : 0;
  return {static_cast<uint8_t>(flip), zero_point + flip, multiplier};
}

class CpuElemwise : public Kernel {
 public:
  CpuElemwise(const ElemwiseOp& op, const TensorType& a, const TensorType& b)
      : axes_(broadcast_axes(a.shape, b.shape)), float_out_(op.out.dtype == DType::kFloat32) {
    terms_ = {operand(a.dtype, op.a_zero_point, op.a_multiplier), operand(b.dtype, op.b_zero_point, op.b_multiplier),
              op.act, op.out.dtype, op.out.zero_point};
    const bool mul = op.kind == ElemwiseOp::Kind::kMul;
    if (axes_.a_stride.back() == 0) {  // both operations commute: the input that repeats becomes the second
      swapped_ = true;
      std::swap(axes_.a_stride, axes_.b_stride);
      std::swap(terms_.a, terms_.b);
      if (mul) std::swap(terms_.a.multiplier, terms_.b.multiplier);
    }
    row_ = axes_.size.back();
    const bool repeat_b = axes_.b_stride.back() == 0;
    if (cpu_isa() == Isa::kAvx512 && !float_out_) loop_ = elemwise_avx512(mul, repeat_b, terms_);
    if (!loop_) loop_ = kLoops[mul][repeat_b][op.act.slope != 1.0f][float_out_];
    axes_.size.pop_back();
    rows_ = num_elements(axes_.size);
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    if (rows_ == 0 || row_ == 0) return;
    const uint8_t* a = in[swapped_ ? 1 : 0].as<uint8_t>();
    const uint8_t* b = in[swapped_ ? 0 : 1].as<uint8_t>();
    uint8_t* dst = out[0].as<uint8_t>();
    const int64_t width = float_out_ ? sizeof(float) : 1;
    if (rows_ == 1) {
      const int64_t by_b = axes_.b_stride.back();
      parallel_for(row_, 2 + width, [&](int64_t begin, int64_t end) {
        if (begin < end) loop_(a + begin, b + begin * by_b, dst + begin * width, end - begin, terms_);
      });
      return;
    }
    parallel_for(rows_, row_ * (2 + width), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        int64_t rest = r, at_a = 0, at_b = 0;
        for (size_t i = axes_.size.size(); i-- > 0;) {
          at_a += rest % axes_.size[i] * axes_.a_stride[i];
          at_b += rest % axes_.size[i] * axes_.b_stride[i];
          rest /= axes_.size[i];
        }
        loop_(a + at_a, b + at_b, dst + r * row_ * width, row_, terms_);
      }
    });
  }

 private:
  BroadcastAxes axes_;  // without the size of the last axis
  const bool float_out_;
  bool swapped_ = false;
  ElemwiseTerms terms_;
  int64_t row_, rows_;
  ElemwiseLoop loop_ = nullptr;
};

}  // namespace

KernelPtr cpu_elemwise(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>&, std::string*) {
  return std::make_shared<CpuElemwise>(static_cast<const ElemwiseOp&>(op), in[0], in[1]);
}

}  // namespace mxq
