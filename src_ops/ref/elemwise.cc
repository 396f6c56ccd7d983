#include "../ops/elemwise.h"

namespace mxq {
namespace {

class RefElemwise : public Kernel {
 public:
  explicit RefElemwise(const ElemwiseOp& op) : op_(op) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    const Shape& shape = out[0].shape();
    for (int64_t i = 0; i < out[0].size(); ++i) {
      const int a = read_8bit(in[0], source(in[0].shape(), shape, i)) - op_.a_zero_point;
      const int b = read_8bit(in[1], source(in[1].shape(), shape, i)) - op_.b_zero_point;
      float t;
      if (op_.kind == ElemwiseOp::Kind::kMul) {
        t = static_cast<float>(a * b) * op_.a_multiplier;
      } else {
        const float x = static_cast<float>(a) * op_.a_multiplier, y = static_cast<float>(b) * op_.b_multiplier;
        t = x + y;
      }
      write_value(out[0], i, op_.act(t), op_.out.zero_point);
    }
  }

 private:
  // Which value of an input of shape `from` stands at position i of the output.
  static int64_t source(const Shape& from, const Shape& to, int64_t i) {
    int64_t at = 0, stride = 1;
    for (size_t k = 1; k <= from.size(); ++k) {
      const int64_t n = from[from.size() - k], m = to[to.size() - k];
      at += n == 1 ? 0 : i % m * stride;
      stride *= n;
      i /= m;
    }
    return at;
  }

  const ElemwiseOp op_;
};

}  // namespace

KernelPtr ref_elemwise(const Op& op, const std::vector<TensorType>&, const std::vector<TensorType>&, std::string*) {
  return std::make_shared<RefElemwise>(static_cast<const ElemwiseOp&>(op));
}

}  // namespace mxq
