#include "../ops/strided_copy.h"

#include <cstring>

namespace mxq {
namespace {

class RefStridedCopy : public Kernel {
 public:
  RefStridedCopy(StridedCopy copy, size_t item) : copy_(std::move(copy)), item_(item) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    const int64_t total = num_elements(copy_.size);
    for (int64_t i = 0; i < total; ++i) {
      int64_t rest = i, from = copy_.src_offset, to = 0;
      for (size_t axis = copy_.size.size(); axis-- > 0;) {
        from += rest % copy_.size[axis] * copy_.src_stride[axis];
        to += rest % copy_.size[axis] * copy_.dst_stride[axis];
        rest /= copy_.size[axis];
      }
      std::memcpy(out[0].as<char>() + to * item_, in[0].as<const char>() + from * item_, item_);
    }
  }

 private:
  const StridedCopy copy_;
  const size_t item_;
};

}  // namespace

KernelPtr ref_strided_copy(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>&,
                           std::string*) {
  return std::make_shared<RefStridedCopy>(static_cast<const MoveOp&>(op).plan(in[0].shape), size_of(in[0].dtype));
}

}  // namespace mxq
