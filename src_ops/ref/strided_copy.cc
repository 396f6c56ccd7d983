#include "../ops/strided_copy.h"

namespace mxq {
namespace {

class RefStridedCopy : public Kernel {
 public:
  explicit RefStridedCopy(StridedCopy copy) : copy_(std::move(copy)) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    const int64_t total = num_elements(copy_.size);
    for (int64_t i = 0; i < total; ++i) {
      int64_t rest = i, from = copy_.src_offset, to = 0;
      for (size_t axis = copy_.size.size(); axis-- > 0;) {
        from += rest % copy_.size[axis] * copy_.src_stride[axis];
        to += rest % copy_.size[axis] * copy_.dst_stride[axis];
        rest /= copy_.size[axis];
      }
      out[0].as<uint8_t>()[to] = in[0].as<uint8_t>()[from];
    }
  }

 private:
  const StridedCopy copy_;
};

}  // namespace

KernelPtr ref_strided_copy(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>&,
                           std::string*) {
  return std::make_shared<RefStridedCopy>(static_cast<const MoveOp&>(op).plan(in[0].shape));
}

}  // namespace mxq
