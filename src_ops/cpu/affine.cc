// Pixels of few channels together, with the parameters of channels repeated, so that loops are long.
#include "../ops/affine.h"

#include <algorithm>

#include "clones.h"
#include "output_stage.h"
#include "parallel.h"

namespace mxq {
namespace {

constexpr int64_t kTogether = 256;

MXQ_CLONES void scale_u8(const uint8_t* from, int zero_point, const float* multiplier, const float* bias, int64_t n,
                         float* t) {
  for (int64_t i = 0; i < n; ++i) t[i] = static_cast<float>(from[i] - zero_point) * multiplier[i] + bias[i];
}

MXQ_CLONES void scale_s8(const int8_t* from, int zero_point, const float* multiplier, const float* bias, int64_t n,
                         float* t) {
  for (int64_t i = 0; i < n; ++i) t[i] = static_cast<float>(from[i] - zero_point) * multiplier[i] + bias[i];
}

MXQ_CLONES void scale_f32(const float* from, const float* multiplier, const float* bias, int64_t n, float* t) {
  for (int64_t i = 0; i < n; ++i) t[i] = from[i] * multiplier[i] + bias[i];
}

void repeat(int64_t times, std::vector<float>* values) {
  const auto n = static_cast<int64_t>(values->size());
  values->resize(times * n);
  for (int64_t i = n; i < times * n; ++i) (*values)[i] = (*values)[i - n];
}

class CpuAffine : public Kernel {
 public:
  explicit CpuAffine(const AffineOp& op) : op_(op) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    const Tensor& data = in[0];
    const int64_t channels = in[1].size();
    if (data.size() == 0) return;
    const int64_t pixels = data.size() / channels, together = std::max<int64_t>(1, kTogether / channels);
    ChannelTerms terms = op_.terms(in);
    repeat(together, &terms.multiplier);
    repeat(together, &terms.bias);
    repeat(together, &terms.slope);
    const auto bytes = static_cast<int64_t>(size_of(data.dtype()) + size_of(out[0].dtype()));
    parallel_for(pixels, channels * bytes, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; p += together) {
        const int64_t n = std::min(together, end - p) * channels;
        for (int64_t i = 0; i < n; i += kTogether) {
          row(data, p * channels + i, std::min(kTogether, n - i), terms, i, out[0]);
        }
      }
    });
  }

 private:
  // Elements [at, at + n), of which the first is in row `first` of the terms.
  void row(const Tensor& data, int64_t at, int64_t n, const ChannelTerms& terms, int64_t first,
           const Tensor& out) const {
    const float *multiplier = terms.multiplier.data() + first, *bias = terms.bias.data() + first;
    float t[kTogether];
    if (data.dtype() == DType::kFloat32) {
      scale_f32(data.as<const float>() + at, multiplier, bias, n, t);
    } else if (data.dtype() == DType::kUint8) {
      scale_u8(data.as<const uint8_t>() + at, op_.stage.in_zero_point, multiplier, bias, n, t);
    } else {
      scale_s8(data.as<const int8_t>() + at, op_.stage.in_zero_point, multiplier, bias, n, t);
    }
    activate_and_store(op_.stage, terms, first, n, t, out, at);
  }

  const AffineOp op_;
};

}  // namespace

KernelPtr cpu_affine(const Op& op, const std::vector<TensorType>&, const std::vector<TensorType>&, std::string*) {
  return std::make_shared<CpuAffine>(static_cast<const AffineOp&>(op));
}

}  // namespace mxq
