#include "../ops/pad.h"
#include "device.h"
#include "implementations.h"

namespace mxq {
namespace cuda {
namespace {

constexpr int kMaxAxes = 8;

struct PadParams {
  const uint8_t* from;
  uint8_t* to;
  unsigned count;
  int axes, mode, value;  // mode: PadOp::Mode
  int in[kMaxAxes], out[kMaxAxes], before[kMaxAxes];
};

__global__ void pad_kernel(PadParams p) {
  const unsigned at = flat_index();
  if (at >= p.count) return;
  unsigned rest = at;
  int64_t from = 0, stride = 1;
  bool inside = true;
  for (int axis = p.axes - 1; axis >= 0; --axis) {
    const int size = p.in[axis];
    int i = static_cast<int>(rest % p.out[axis]) - p.before[axis];
    rest /= p.out[axis];
    if (i < 0 || i >= size) {
      if (p.mode == static_cast<int>(PadOp::Mode::kConstant)) {
        inside = false;
      } else if (p.mode == static_cast<int>(PadOp::Mode::kEdge)) {
        i = i < 0 ? 0 : size - 1;
      } else {
        i = i < 0 ? -i : 2 * (size - 1) - i;
      }
    }
    from += i * stride;
    stride *= size;
  }
  p.to[at] = inside ? __ldg(p.from + from) : static_cast<uint8_t>(p.value);
}

class Pad : public Kernel {
 public:
  Pad(const PadOp& op, const Shape& in, const Shape& out) {
    p_ = PadParams{};
    p_.count = static_cast<unsigned>(num_elements(out));
    p_.axes = static_cast<int>(in.size());
    p_.mode = static_cast<int>(op.mode);
    p_.value = op.value;
    for (int i = 0; i < p_.axes; ++i) {
      p_.in[i] = static_cast<int>(in[i]);
      p_.out[i] = static_cast<int>(out[i]);
      p_.before[i] = static_cast<int>(op.before[i]);
    }
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    PadParams p = p_;
    p.from = in[0].as<const uint8_t>();
    p.to = out[0].as<uint8_t>();
    launch_flat(pad_kernel, p.count, stream_of(*context), p);
  }

 private:
  PadParams p_;
};

}  // namespace

MXQ_CUDA_FACTORY(pad) {
  if (!fits_32_bits(in, why_not) || !fits_32_bits(out, why_not)) return nullptr;
  if (in[0].shape.size() > kMaxAxes) {
    *why_not = "data has more than 8 dimensions";
    return nullptr;
  }
  return std::make_shared<Pad>(static_cast<const PadOp&>(op), in[0].shape, out[0].shape);
}

}  // namespace cuda
}  // namespace mxq
