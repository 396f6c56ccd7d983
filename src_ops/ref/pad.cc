#include "../ops/pad.h"

#include "../ops/eight_bit.h"

namespace mxq {
namespace {

class RefPad : public Kernel {
 public:
  explicit RefPad(const PadOp& op) : op_(op) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    const Shape &from = in[0].shape(), &to = out[0].shape();
    for (int64_t i = 0; i < out[0].size(); ++i) {
      int64_t rest = i, stride = 1, at = 0;
      bool inside = true;
      for (size_t axis = to.size(); axis-- > 0;) {
        const int64_t source = op_.source(axis, rest % to[axis], from[axis]);
        inside = inside && source >= 0;
        at += source * stride;
        stride *= from[axis];
        rest /= to[axis];
      }
      write_8bit(out[0], i, inside ? read_8bit(in[0], at) : op_.value);
    }
  }

 private:
  const PadOp op_;
};

}  // namespace

KernelPtr ref_pad(const Op& op, const std::vector<TensorType>&, const std::vector<TensorType>&, std::string*) {
  return std::make_shared<RefPad>(static_cast<const PadOp&>(op));
}

}  // namespace mxq
