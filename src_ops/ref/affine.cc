#include "../ops/affine.h"

#include "../ops/eight_bit.h"

namespace mxq {
namespace {

class RefAffine : public Kernel {
 public:
  explicit RefAffine(const AffineOp& op) : op_(op) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    const ChannelTerms terms = op_.terms(in);
    const int64_t channels = in[1].size();
    for (int64_t i = 0; i < in[0].size(); ++i) {
      write_value(out[0], i, stage_value(op_.stage, terms, i % channels, value(in[0], i), 0.0f),
                  op_.stage.out_zero_point);
    }
  }

 private:
  float value(const Tensor& data, int64_t i) const {
    if (data.dtype() == DType::kFloat32) return data.as<float>()[i];
    return static_cast<float>(read_8bit(data, i) - op_.stage.in_zero_point);
  }

  const AffineOp op_;
};

}  // namespace

KernelPtr ref_affine(const Op& op, const std::vector<TensorType>&, const std::vector<TensorType>&, std::string*) {
  return std::make_shared<RefAffine>(static_cast<const AffineOp&>(op));
}

}  // namespace mxq
