#include "../ops/strided_copy.h"
#include "device.h"
#include "implementations.h"

namespace mxq {
namespace cuda {
namespace {

constexpr int kMaxAxes = 8;

struct StridedParams {
  const uint8_t* from;
  uint8_t* to;
  unsigned count;
  int axes;
  unsigned size[kMaxAxes], to_stride[kMaxAxes];
  int from_stride[kMaxAxes];
};

// Along the output, whose order is that of the axes. A thread moves a Word; strides count in words.
template <class Word>
__global__ void strided_kernel(StridedParams p) {
  const unsigned at = flat_index();
  if (at >= p.count) return;
  unsigned rest = at, to = 0;
  int64_t from = 0;
  for (int axis = p.axes - 1; axis >= 0; --axis) {
    const unsigned i = rest % p.size[axis];
    rest /= p.size[axis];
    from += static_cast<int64_t>(i) * p.from_stride[axis];
    to += i * p.to_stride[axis];
  }
  reinterpret_cast<Word*>(p.to)[to] = __ldg(reinterpret_cast<const Word*>(p.from) + from);
}

class Strided : public Kernel {
 public:
  explicit Strided(const StridedCopy& copy) : offset_(copy.src_offset) {
    p_ = StridedParams{};
    p_.count = static_cast<unsigned>(num_elements(copy.size));
    p_.axes = static_cast<int>(copy.size.size());
    for (int i = 0; i < p_.axes; ++i) {
      p_.size[i] = static_cast<unsigned>(copy.size[i]);
      p_.from_stride[i] = static_cast<int>(copy.src_stride[i]);
      p_.to_stride[i] = static_cast<unsigned>(copy.dst_stride[i]);
    }
    plain_ = p_.axes == 1 && p_.from_stride[0] == 1 && p_.to_stride[0] == 1;
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    const cudaStream_t stream = stream_of(*context);
    StridedParams p = p_;
    p.from = in[0].as<const uint8_t>() + offset_;
    p.to = out[0].as<uint8_t>();
    if (plain_) {
      if (p.count) check(cudaMemcpyAsync(p.to, p.from, p.count, cudaMemcpyDeviceToDevice, stream), "copying");
    } else if (in_words<16>(&p)) {
      launch_flat(strided_kernel<uint4>, p.count, stream, p);
    } else if (in_words<4>(&p)) {
      launch_flat(strided_kernel<unsigned>, p.count, stream, p);
    } else {
      launch_flat(strided_kernel<uint8_t>, p.count, stream, p);
    }
  }

 private:
  // Counts in words where the innermost axis is dense on both sides and everything is a multiple of a word.
  template <int kBytes>
  static bool in_words(StridedParams* p) {
    const int last = p->axes - 1;
    if (p->from_stride[last] != 1 || p->to_stride[last] != 1) return false;
    uint64_t all = reinterpret_cast<uintptr_t>(p->from) | reinterpret_cast<uintptr_t>(p->to) | p->size[last];
    for (int i = 0; i < last; ++i) all |= static_cast<uint64_t>(p->from_stride[i]) | p->to_stride[i];
    if (all % kBytes != 0) return false;
    for (int i = 0; i < last; ++i) p->from_stride[i] /= kBytes, p->to_stride[i] /= kBytes;
    p->size[last] /= kBytes;
    p->count /= kBytes;
    return true;
  }

  StridedParams p_;
  int64_t offset_;
  bool plain_;
};

}  // namespace

namespace {

// The same copy in bytes, where the elements have several.
StridedCopy in_bytes(StridedCopy copy, int64_t item) {
  for (size_t i = 0; i < copy.size.size(); ++i) copy.src_stride[i] *= item, copy.dst_stride[i] *= item;
  copy.src_offset *= item;
  copy.add_axis(item, 1, 1);
  return simplified(copy);
}

}  // namespace

MXQ_CUDA_FACTORY(strided_copy) {
  if (!fits_32_bits(in, why_not) || !fits_32_bits(out, why_not)) return nullptr;
  const int64_t item = static_cast<int64_t>(size_of(in[0].dtype));
  if (num_elements(out[0].shape) * item >= (int64_t{1} << 31)) {
    *why_not = "the output has 2^31 bytes or more";
    return nullptr;
  }
  const StridedCopy copy = in_bytes(simplified(static_cast<const MoveOp&>(op).plan(in[0].shape)), item);
  if (copy.size.size() > kMaxAxes) {
    *why_not = "more than 8 separate axes move";
    return nullptr;
  }
  return std::make_shared<Strided>(copy);
}

}  // namespace cuda
}  // namespace mxq
