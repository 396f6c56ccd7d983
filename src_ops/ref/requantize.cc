#include "../ops/requantize.h"

#include <algorithm>
#include <cmath>

#include "../core/check.h"

namespace mxq {
namespace {

class RefRequantize : public Kernel {
 public:
  explicit RefRequantize(const RequantizeOp& op) : op_(op) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    if (op_.run_time) {
      run_time(in, out, context);
      return;
    }
    const float factor = multiplier(op_.in_scale, op_.qparams.scale);
    for (int64_t i = 0; i < in[0].size(); ++i) {
      const int64_t centred = value_at(in[0], i) - op_.in_zero_point;
      put(out[0], i, static_cast<float>(centred) * factor, op_.qparams.zero_point);
    }
  }

 private:
  void run_time(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const {
    const int64_t size = in[0].size(), channels = in[0].shape().back();
    float* scales = static_cast<float*>(context->workspace(channels * sizeof(float)));
    op_.sum_scales(in, scales);
    auto real = [&](int64_t i) {
      float t = static_cast<float>(in[0].as<int32_t>()[i]) * scales[i % channels];
      if (!op_.no_bias) t = t + in[4].as<float>()[i % channels];
      return op_.relu && !(t > 0.0f) ? 0.0f : t;
    };
    if (op_.out_type == DType::kFloat32) {
      for (int64_t i = 0; i < size; ++i) out[0].as<float>()[i] = real(i);
      return;
    }
    float lo = size ? real(0) : 0.0f, hi = lo;
    for (int64_t i = 0; i < size; ++i) {
      const float x = real(i);
      MXQ_CHECK(std::isfinite(x),
                "the real value at position " << i << " is " << x << "; a range found at run time needs finite values");
      lo = std::min(lo, x);
      hi = std::max(hi, x);
    }
    *out[1].as<float>() = lo;
    *out[2].as<float>() = hi;
    const QParams to = range_to_qparams(lo, hi, op_.out_type);
    for (int64_t i = 0; i < size; ++i) put(out[0], i, real(i) * reciprocal(to.scale), to.zero_point);
  }

  static int64_t value_at(const Tensor& data, int64_t i) {
    switch (data.dtype()) {
      case DType::kInt8:
        return data.as<int8_t>()[i];
      case DType::kUint8:
        return data.as<uint8_t>()[i];
      default:
        return data.as<int32_t>()[i];
    }
  }

  void put(const Tensor& out, int64_t i, float t, int zero_point) const {
    const int q = round_clamp(t, zero_point, qmin(op_.out_type), qmax(op_.out_type));
    if (op_.out_type == DType::kInt8) {
      out.as<int8_t>()[i] = static_cast<int8_t>(q);
    } else {
      out.as<uint8_t>()[i] = static_cast<uint8_t>(q);
    }
  }

  const RequantizeOp op_;
};

}  // namespace

KernelPtr ref_requantize(const Op& op, const std::vector<TensorType>&, const std::vector<TensorType>&, std::string*) {
  return std::make_shared<RefRequantize>(static_cast<const RequantizeOp&>(op));
}

}  // namespace mxq
