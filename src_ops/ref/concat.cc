#include "../ops/concat.h"

namespace mxq {
namespace {

class RefConcat : public Kernel {
 public:
  explicit RefConcat(const ConcatOp& op) : op_(op) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    const Shape& to = out[0].shape();
    const int64_t rank = static_cast<int64_t>(to.size());
    const int64_t axis = op_.dim < 0 ? op_.dim + rank : op_.dim;
    int64_t outer = 1, inner = 1, begin = 0;
    for (int64_t i = 0; i < axis; ++i) outer *= to[i];
    for (int64_t i = axis + 1; i < rank; ++i) inner *= to[i];
    for (int k = 0; k < op_.num_args; ++k) {
      const int64_t run = in[k].shape()[axis] * inner;
      const bool copy = op_.is_copy(k, in[k].dtype());
      for (int64_t o = 0; o < outer; ++o) {
        for (int64_t i = 0; i < run; ++i) {
          if (op_.out.dtype == DType::kFloat32) {
            out[0].as<float>()[o * to[axis] * inner + begin + i] = in[k].as<float>()[o * run + i];
            continue;
          }
          const int q = read_8bit(in[k], o * run + i);
          write_8bit(out[0], o * to[axis] * inner + begin + i, copy ? q : op_.converted(k, q));
        }
      }
      begin += run;
    }
  }

 private:
  const ConcatOp op_;
};

}  // namespace

KernelPtr ref_concat(const Op& op, const std::vector<TensorType>&, const std::vector<TensorType>&, std::string*) {
  return std::make_shared<RefConcat>(static_cast<const ConcatOp&>(op));
}

}  // namespace mxq
