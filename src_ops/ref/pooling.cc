#include "../ops/pooling.h"

#include <algorithm>
#include <limits>

namespace mxq {
namespace {

class RefPooling : public Kernel {
 public:
  RefPooling(const PoolingOp& op, const Shape& data) : op_(op), g_(op.geometry(data)) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    int64_t i = 0;
    for (int64_t n = 0; n < g_.batch; ++n) {
      for (int64_t oh = 0; oh < g_.h.out; ++oh) {
        for (int64_t ow = 0; ow < g_.w.out; ++ow) {
          for (int64_t c = 0; c < g_.channels; ++c) window(in[0], out[0], n, oh, ow, c, i++);
        }
      }
    }
  }

 private:
  void window(const Tensor& data, const Tensor& out, int64_t n, int64_t oh, int64_t ow, int64_t c, int64_t i) const {
    if (data.dtype() == DType::kFloat32) return float_window(data.as<float>(), out.as<float>(), n, oh, ow, c, i);
    int largest = qmin(data.dtype()), sum = 0;
    for (int64_t h = g_.h.begin(oh); h < g_.h.end(oh); ++h) {
      for (int64_t w = g_.w.begin(ow); w < g_.w.end(ow); ++w) {
        const int q = read_8bit(data, ((n * g_.h.in + h) * g_.w.in + w) * g_.channels + c);
        largest = std::max(largest, q);
        sum += q - op_.in_zero_point;
      }
    }
    if (op_.is_max) {
      write_8bit(out, i, largest);
    } else {
      write_value(out, i, static_cast<float>(sum) * op_.factor(g_, oh, ow), op_.out.zero_point);
    }
  }

  void float_window(const float* data, float* out, int64_t n, int64_t oh, int64_t ow, int64_t c, int64_t i) const {
    float largest = std::numeric_limits<float>::lowest(), sum = 0;
    for (int64_t h = g_.h.begin(oh); h < g_.h.end(oh); ++h) {
      for (int64_t w = g_.w.begin(ow); w < g_.w.end(ow); ++w) {
        const float x = data[((n * g_.h.in + h) * g_.w.in + w) * g_.channels + c];
        largest = x > largest ? x : largest;
        sum += x;
      }
    }
    out[i] = op_.is_max ? largest : sum * op_.factor(g_, oh, ow);
  }

  const PoolingOp op_;
  const PoolGeometry g_;
};

}  // namespace

KernelPtr ref_pooling(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>&, std::string*) {
  return std::make_shared<RefPooling>(static_cast<const PoolingOp&>(op), in[0].shape);
}

}  // namespace mxq
