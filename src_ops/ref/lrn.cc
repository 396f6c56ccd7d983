#include "../ops/lrn.h"

#include <algorithm>

namespace mxq {
namespace {

class RefLrn : public Kernel {
 public:
  explicit RefLrn(const LrnOp& op) : op_(op) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    const int64_t channels = in[0].shape().back();
    for (int64_t i = 0; i < in[0].size(); ++i) {
      const int64_t c = i % channels, first = i - c;
      float sum = 0.0f;
      for (int64_t j = std::max<int64_t>(c - op_.reach, 0); j <= std::min(c + op_.reach, channels - 1); ++j) {
        const float v = value(in[0], first + j), square = v * v;
        sum = sum + square;
      }
      const float weighted = op_.weight * sum, u = op_.knorm + weighted, scaled = value(in[0], i) * op_.multiplier;
      write_value(out[0], i, scaled * lrn_power(u, op_.exponent), op_.out.zero_point);
    }
  }

 private:
  float value(const Tensor& data, int64_t i) const {
    if (data.dtype() == DType::kFloat32) return data.as<float>()[i];
    return static_cast<float>(read_8bit(data, i) - op_.in_zero_point);
  }

  const LrnOp op_;
};

}  // namespace

KernelPtr ref_lrn(const Op& op, const std::vector<TensorType>&, const std::vector<TensorType>&, std::string*) {
  return std::make_shared<RefLrn>(static_cast<const LrnOp&>(op));
}

}  // namespace mxq
