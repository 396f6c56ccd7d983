#include "../ops/quantize_v2.h"

#include <algorithm>
#include <cmath>

#include "../core/check.h"
#include "../ops/layout.h"

namespace mxq {
namespace {

class RefQuantizeV2 : public Kernel {
 public:
  explicit RefQuantizeV2(const QuantizeV2Op& op) : op_(op) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    const Tensor& data = in[0];
    QParams to = op_.qparams;
    if (!op_.calibrated) {
      float* lo = out[1].as<float>();
      float* hi = out[2].as<float>();
      if (data.dtype() == DType::kFloat32) {
        range_of(data, lo, hi);
        to = range_to_qparams(*lo, *hi, op_.out_type);
      } else {
        range_of_type(data.dtype(), op_.in_scale, op_.in_zero_point, lo, hi);
      }
    }
    if (op_.fine_steps > 1) return run_fine(data, out[0]);
    const Shape& shape = data.shape();
    const int64_t batch = op_.channels_last ? shape[0] : 1;
    const int64_t channels = op_.channels_last ? shape[1] : 1;
    const int64_t spatial = data.size() == 0 ? 0 : data.size() / (batch * channels);
    for (int64_t n = 0; n < batch; ++n) {
      for (int64_t c = 0; c < channels; ++c) {
        for (int64_t s = 0; s < spatial; ++s) {
          const int q = value(data, (n * channels + c) * spatial + s, to);
          const int64_t at = (n * spatial + s) * channels + c;
          if (op_.out_type == DType::kInt8) {
            out[0].as<int8_t>()[at] = static_cast<int8_t>(q);
          } else {
            out[0].as<uint8_t>()[at] = static_cast<uint8_t>(q);
          }
        }
      }
    }
  }

 private:
  void run_fine(const Tensor& data, const Tensor& out) const {
    const Shape& shape = data.shape();
    const int64_t axis = axis_of(shape, op_.axis), channels = shape[axis];
    int64_t inner = 1;
    for (size_t i = axis + 1; i < shape.size(); ++i) inner *= shape[i];
    for (int64_t i = 0; i < data.size(); ++i) {
      const int64_t n = i / (channels * inner), c = i / inner % channels, s = i % inner;
      const FineParts parts =
          split_fine(op_.scalars(data.as<float>()[i]), reciprocal(op_.qparams.scale), op_.qparams.zero_point,
                     op_.fine_steps, qmin(op_.out_type), qmax(op_.out_type));
      for (int part = 0; part < 2; ++part) {
        const int64_t to = part * channels + c;
        const int64_t at =
            op_.channels_last ? (n * inner + s) * 2 * channels + to : (n * 2 * channels + to) * inner + s;
        out.as<uint8_t>()[at] = static_cast<uint8_t>(part ? parts.rest : parts.whole);
      }
    }
  }

  int value(const Tensor& data, int64_t i, const QParams& to) const {
    const int lo = qmin(op_.out_type), hi = qmax(op_.out_type);
    if (data.dtype() == DType::kFloat32) {
      return round_clamp(op_.scalars(data.as<float>()[i]) * reciprocal(to.scale), to.zero_point, lo, hi);
    }
    const int q = data.dtype() == DType::kInt8 ? data.as<int8_t>()[i] : data.as<uint8_t>()[i];
    const bool same = data.dtype() == op_.out_type && op_.in_scale == to.scale && op_.in_zero_point == to.zero_point;
    if (!op_.calibrated || same) return q;
    const float t = static_cast<float>(q - op_.in_zero_point) * multiplier(op_.in_scale, to.scale);
    return round_clamp(t, to.zero_point, lo, hi);
  }

  static void range_of(const Tensor& data, float* lo, float* hi) {
    *lo = *hi = data.size() ? data.as<float>()[0] : 0.0f;
    for (int64_t i = 0; i < data.size(); ++i) {
      const float x = data.as<float>()[i];
      MXQ_CHECK(std::isfinite(x), "data holds " << x << " at position " << i
                                                << "; a range found at run time needs finite values (or calibrate)");
      *lo = std::min(*lo, x);
      *hi = std::max(*hi, x);
    }
  }

  const QuantizeV2Op op_;
};

}  // namespace

KernelPtr ref_quantize_v2(const Op& op, const std::vector<TensorType>&, const std::vector<TensorType>&, std::string*) {
  return std::make_shared<RefQuantizeV2>(static_cast<const QuantizeV2Op&>(op));
}

}  // namespace mxq
