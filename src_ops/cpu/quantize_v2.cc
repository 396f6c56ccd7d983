#include "../ops/quantize_v2.h"

#include <algorithm>
#include <cmath>

#include "../core/check.h"
#include "channels.h"

namespace mxq {
namespace {

class CpuQuantizeV2 : public Kernel {
 public:
  explicit CpuQuantizeV2(const QuantizeV2Op& op) : op_(op) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    const Tensor& data = in[0];
    if (data.dtype() == DType::kFloat32) {
      QParams to = op_.qparams;
      if (!op_.calibrated) to = run_time_range(data, out);
      const float inverse = reciprocal(to.scale);
      for_rows(data, out[0], sizeof(float), [&](int64_t offset, uint8_t* row, int64_t n) {
        with_scalars(op_.scalars, data.as<float>() + offset, n, [&](const float* x, int64_t i, int64_t m) {
          quantize_row(x, row + i, m, inverse, to, op_.out_type);
        });
      });
      return;
    }
    if (!op_.calibrated) {
      range_of_type(data.dtype(), op_.in_scale, op_.in_zero_point, out[1].as<float>(), out[2].as<float>());
    }
    uint8_t table[256];
    make_table(data.dtype(), table);
    for_rows(data, out[0], 1,
             [&](int64_t offset, uint8_t* row, int64_t n) { map_bytes(data.as<uint8_t>() + offset, row, n, table); });
  }

 private:
  QParams run_time_range(const Tensor& data, const std::vector<Tensor>& out) const {
    float* lo = out[1].as<float>();
    float* hi = out[2].as<float>();
    *lo = *hi = 0.0f;
    const float* x = data.as<float>();
    if (data.size() > 0 && !finite_range(x, data.size(), lo, hi)) {
      const int64_t at = std::find_if(x, x + data.size(), [](float v) { return !std::isfinite(v); }) - x;
      MXQ_CHECK(false, "data holds " << x[at] << " at position " << at
                                     << "; a range found at run time needs finite values (or calibrate)");
    }
    return range_to_qparams(*lo, *hi, op_.out_type);
  }

  // What each 8-bit input value becomes.
  void make_table(DType from, uint8_t* table) const {
    const QParams& to = op_.qparams;
    const bool same =
        !op_.calibrated || (from == op_.out_type && op_.in_scale == to.scale && op_.in_zero_point == to.zero_point);
    const float factor = multiplier(op_.in_scale, to.scale);
    for (int i = 0; i < 256; ++i) {
      const int q = from == DType::kInt8 ? static_cast<int8_t>(i) : i;
      const float t = static_cast<float>(q - op_.in_zero_point) * factor;
      table[i] = static_cast<uint8_t>(same ? q : round_clamp(t, to.zero_point, qmin(op_.out_type), qmax(op_.out_type)));
    }
  }

  // Calls convert(offset into data, bytes, n) for runs of data, and puts the bytes where the layout wants them.
  template <class Convert>
  void for_rows(const Tensor& data, const Tensor& out, int64_t item_size, Convert convert) const {
    const int64_t size = data.size();
    if (size == 0) return;
    uint8_t* const bytes = out.as<uint8_t>();
    const Shape& shape = data.shape();
    const int64_t channels = op_.channels_last ? shape[1] : 1;
    const int64_t spatial = op_.channels_last ? size / (shape[0] * channels) : 1;
    if (channels == 1 || spatial == 1) {  // both layouts are the same
      parallel_for(size, item_size + 1,
                   [&](int64_t begin, int64_t end) { convert(begin, bytes + begin, end - begin); });
    } else {
      to_channels_last(shape[0], channels, spatial, item_size, bytes,
                       [&](int64_t offset, int64_t, uint8_t* row, int64_t n) { convert(offset, row, n); });
    }
  }

  const QuantizeV2Op op_;
};

}  // namespace

KernelPtr cpu_quantize_v2(const Op& op, const std::vector<TensorType>&, const std::vector<TensorType>&, std::string*) {
  const auto& quantize = static_cast<const QuantizeV2Op&>(op);
  if (quantize.fine_steps > 1) return cpu_quantize_fine(quantize);
  return std::make_shared<CpuQuantizeV2>(quantize);
}

}  // namespace mxq
