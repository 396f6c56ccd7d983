// mxq_pooling of float32: the values of a window one after another, whole rows of channels at a time.
#include <algorithm>
#include <limits>

#include "../ops/pooling.h"
#include "clones.h"
#include "parallel.h"

namespace mxq {
namespace {

MXQ_CLONES void take_larger(const float* src, int64_t n, float* dst) {
  for (int64_t i = 0; i < n; ++i) dst[i] = src[i] > dst[i] ? src[i] : dst[i];
}

MXQ_CLONES void add(const float* src, int64_t n, float* dst) {
  for (int64_t i = 0; i < n; ++i) dst[i] += src[i];
}

MXQ_CLONES void scale(float factor, int64_t n, float* dst) {
  for (int64_t i = 0; i < n; ++i) dst[i] *= factor;
}

class CpuPoolingFloat : public Kernel {
 public:
  CpuPoolingFloat(const PoolingOp& op, const Shape& data) : op_(op), g_(op.geometry(data)) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    const int64_t window = std::min(g_.h.kernel, g_.h.in) * std::min(g_.w.kernel, g_.w.in);
    parallel_for(g_.batch * g_.h.out * g_.w.out, g_.channels * 4 * (window + 1), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        pool(in[0].as<float>(), i / (g_.h.out * g_.w.out), i / g_.w.out % g_.h.out, i % g_.w.out,
             out[0].as<float>() + i * g_.channels);
      }
    });
  }

 private:
  void pool(const float* data, int64_t n, int64_t oh, int64_t ow, float* dst) const {
    std::fill_n(dst, g_.channels, op_.is_max ? std::numeric_limits<float>::lowest() : 0.0f);
    for (int64_t h = g_.h.begin(oh); h < g_.h.end(oh); ++h) {
      for (int64_t w = g_.w.begin(ow); w < g_.w.end(ow); ++w) {
        const float* src = data + ((n * g_.h.in + h) * g_.w.in + w) * g_.channels;
        op_.is_max ? take_larger(src, g_.channels, dst) : add(src, g_.channels, dst);
      }
    }
    if (!op_.is_max) scale(op_.factor(g_, oh, ow), g_.channels, dst);
  }

  const PoolingOp op_;
  const PoolGeometry g_;
};

}  // namespace

KernelPtr cpu_pooling_float(const PoolingOp& op, const Shape& data) {
  return std::make_shared<CpuPoolingFloat>(op, data);
}

}  // namespace mxq
