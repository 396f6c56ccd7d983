#include "../ops/requantize.h"

#include <algorithm>
#include <limits>
#include <mutex>

#include "../core/check.h"
#include "bytes.h"
#include "clones.h"
#include "parallel.h"

namespace mxq {
namespace {

constexpr int64_t kRun = 1024;  // floats on the way through the first-level cache

MXQ_CLONES void to_float(const int32_t* __restrict src, float* __restrict dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) dst[i] = static_cast<float>(src[i]);
}

MXQ_CLONES void real_row(const int32_t* __restrict src, float* __restrict dst, int64_t n,
                         const float* __restrict scale) {
  for (int64_t i = 0; i < n; ++i) dst[i] = static_cast<float>(src[i]) * scale[i];
}

MXQ_CLONES void add_row(float* __restrict dst, int64_t n, const float* __restrict bias) {
  for (int64_t i = 0; i < n; ++i) dst[i] += bias[i];
}

MXQ_CLONES void relu_row(float* dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) dst[i] = dst[i] > 0.0f ? dst[i] : 0.0f;
}

class CpuRequantize : public Kernel {
 public:
  explicit CpuRequantize(const RequantizeOp& op) : op_(op) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    if (op_.run_time) {
      run_time(in, out, context);
    } else if (in[0].dtype() == DType::kInt32) {
      from_int32(in[0], out[0]);
    } else {
      from_8bit(in[0], out[0]);
    }
  }

 private:
  void from_8bit(const Tensor& data, const Tensor& out) const {
    uint8_t table[256];
    const float factor = multiplier(op_.in_scale, op_.qparams.scale);
    for (int i = 0; i < 256; ++i) {
      const int q = data.dtype() == DType::kInt8 ? static_cast<int8_t>(i) : i;
      table[i] = static_cast<uint8_t>(round_clamp(static_cast<float>(q - op_.in_zero_point) * factor,
                                                  op_.qparams.zero_point, qmin(op_.out_type), qmax(op_.out_type)));
    }
    parallel_for(data.size(), 2, [&](int64_t begin, int64_t end) {
      map_bytes(data.as<uint8_t>() + begin, out.as<uint8_t>() + begin, end - begin, table);
    });
  }

  void from_int32(const Tensor& data, const Tensor& out) const {
    const float factor = multiplier(op_.in_scale, op_.qparams.scale);
    parallel_for(data.size(), 5, [&](int64_t begin, int64_t end) {
      float run[kRun];
      for (int64_t i = begin; i < end; i += kRun) {
        const int64_t n = std::min(kRun, end - i);
        to_float(data.as<int32_t>() + i, run, n);
        quantize_row(run, out.as<uint8_t>() + i, n, factor, op_.qparams, op_.out_type);
      }
    });
  }

  // The sums are turned into real numbers twice, once for their range: cheaper than keeping four bytes for each.
  void run_time(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const {
    const int64_t size = in[0].size(), channels = in[0].shape().back();
    float* scales = static_cast<float*>(context->workspace(channels * sizeof(float)));
    op_.sum_scales(in, scales);
    const int64_t rows = size ? size / channels : 0;
    const int64_t bytes = channels * 6;
    if (op_.out_type == DType::kFloat32) {
      float* real = out[0].as<float>();
      parallel_for(rows, bytes, [&](int64_t begin, int64_t end) {
        for_runs(begin, end, channels,
                 [&](int64_t at, int64_t c, int64_t n) { fill(in, scales, at, c, n, real + at); });
      });
      return;
    }
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    float lo = kInfinity, hi = -kInfinity;
    bool finite = true;
    std::mutex mutex;
    parallel_for(rows, bytes, [&](int64_t begin, int64_t end) {
      float part_lo = kInfinity, part_hi = -kInfinity;
      bool part_finite = true;
      for_runs(begin, end, channels, [&](int64_t at, int64_t c, int64_t n) {
        float run[kRun], low, high;
        fill(in, scales, at, c, n, run);
        part_finite = finite_range(run, n, &low, &high) && part_finite;
        part_lo = std::min(part_lo, low);
        part_hi = std::max(part_hi, high);
      });
      std::lock_guard<std::mutex> lock(mutex);
      finite = finite && part_finite;
      lo = std::min(lo, part_lo);
      hi = std::max(hi, part_hi);
    });
    MXQ_CHECK(finite, "a real value is not finite (scales of the sums up to "
                          << *std::max_element(scales, scales + channels)
                          << "); a range found at run time needs finite values");
    *out[1].as<float>() = rows ? lo : 0.0f;
    *out[2].as<float>() = rows ? hi : 0.0f;
    const QParams to = range_to_qparams(*out[1].as<float>(), *out[2].as<float>(), op_.out_type);
    const float inverse = reciprocal(to.scale);
    parallel_for(rows, bytes, [&](int64_t begin, int64_t end) {
      for_runs(begin, end, channels, [&](int64_t at, int64_t c, int64_t n) {
        float run[kRun];
        fill(in, scales, at, c, n, run);
        quantize_row(run, out[0].as<uint8_t>() + at, n, inverse, to, op_.out_type);
      });
    });
  }

  // Calls body(offset, channel, n) for runs of at most kRun elements that stay within one row of channels.
  template <class Body>
  static void for_runs(int64_t begin, int64_t end, int64_t channels, Body body) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t c = 0; c < channels; c += kRun) body(row * channels + c, c, std::min(kRun, channels - c));
    }
  }

  void fill(const std::vector<Tensor>& in, const float* scales, int64_t at, int64_t c, int64_t n, float* real) const {
    real_row(in[0].as<int32_t>() + at, real, n, scales + c);
    if (!op_.no_bias) add_row(real, n, in[4].as<float>() + c);
    if (op_.relu) relu_row(real, n);
  }

  const RequantizeOp op_;
};

}  // namespace

KernelPtr cpu_requantize(const Op& op, const std::vector<TensorType>&, const std::vector<TensorType>&, std::string*) {
  return std::make_shared<CpuRequantize>(static_cast<const RequantizeOp&>(op));
}

}  // namespace mxq
