// A window is a rectangle, so its maximum or sum is that of its columns: each row of the output first goes down the
// rows of its windows, for whole rows of the input at once, and then along them.
#include "../ops/pooling.h"

#include <cstring>
#include <vector>

#include "parallel.h"
#include "pool_rows.h"

namespace mxq {
namespace {

constexpr int64_t kChannelBlock = 512;

class CpuPooling : public Kernel {
 public:
  CpuPooling(const PoolingOp& op, const TensorType& data) : op_(op), g_(op.geometry(data.shape)), dtype_(data.dtype) {
    // The integers are summed up as unsigned bytes.
    const int zero_point = op.in_zero_point + (dtype_ == DType::kInt8 ? 128 : 0);
    for (int64_t oh = 0; oh < g_.h.out && !op.is_max; ++oh) {
      const int64_t rows = std::max<int64_t>(g_.h.end(oh) - g_.h.begin(oh), 0);
      for (int64_t ow = 0; ow < g_.w.out; ++ow) {
        const int64_t cols = std::max<int64_t>(g_.w.end(ow) - g_.w.begin(ow), 0);
        offset_.push_back(static_cast<int32_t>(rows * cols * zero_point));
        factor_.push_back(op.factor(g_, oh, ow));
      }
    }
    if (op.is_global) {  // all positions are one column
      g_.h.in = g_.h.kernel = g_.h.in * g_.w.in;
      g_.w.in = g_.w.kernel = 1;
      block_ = std::min(kChannelBlock, g_.channels);
    } else {
      block_ = g_.channels;
    }
    for (int64_t ow = 0; ow < g_.w.out; ++ow) {
      begin_.push_back(g_.w.begin(ow));
      end_.push_back(g_.w.end(ow));
    }
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    if (in[0].size() == 0) return;
    const int64_t blocks = (g_.channels + block_ - 1) / block_;
    const int64_t row_bytes = g_.w.in * block_;
    parallel_for(g_.batch * g_.h.out * blocks, row_bytes * (std::min(g_.h.kernel, g_.h.in) + 1),
                 [&](int64_t begin, int64_t end) {
                   std::vector<uint8_t> row(row_bytes * (op_.is_max ? 1 : sizeof(int32_t)));
                   for (int64_t i = begin; i < end; ++i) {
                     one_row(in[0], out[0], i / blocks / g_.h.out, i / blocks % g_.h.out, i % blocks * block_, &row);
                   }
                 });
  }

 private:
  // Row oh of image n, from channel c on. Several blocks of channels there are only where windows are one column wide.
  void one_row(const Tensor& in, const Tensor& out, int64_t n, int64_t oh, int64_t c, std::vector<uint8_t>* row) const {
    const int64_t channels = std::min(block_, g_.channels - c), length = g_.w.in * channels;
    const int64_t top = g_.h.begin(oh), rows = std::max<int64_t>(g_.h.end(oh) - top, 0);
    const int64_t stride = g_.w.in * g_.channels;
    const uint8_t* src = in.as<uint8_t>() + (n * g_.h.in + top) * stride + c;
    const int64_t at = (n * g_.h.out + oh) * g_.w.out * g_.channels + c;
    const PoolColumns columns{begin_.data(), end_.data(), g_.w.out, channels};
    if (!op_.is_max) {
      int32_t* sums = reinterpret_cast<int32_t*>(row->data());
      sum_rows(src, stride, rows, sums, length, dtype_);
      const AverageOutput output{&offset_[oh * g_.w.out], &factor_[oh * g_.w.out], op_.out.dtype, op_.out.zero_point};
      average_columns(sums, columns, output, out.as<uint8_t>() + at * static_cast<int64_t>(size_of(op_.out.dtype)));
      return;
    }
    uint8_t* dst = out.as<uint8_t>() + at;
    if (rows == 0) {
      std::memset(dst, qmin(dtype_), g_.w.out * channels);
    } else if (op_.is_global) {
      max_rows(src, stride, rows, dst, length, dtype_);
    } else if (rows == 1) {
      max_columns(src, columns, dst, dtype_);
    } else {
      max_rows(src, stride, rows, row->data(), length, dtype_);
      max_columns(row->data(), columns, dst, dtype_);
    }
  }

  const PoolingOp op_;
  PoolGeometry g_;
  const DType dtype_;
  int64_t block_;
  std::vector<int64_t> begin_, end_;  // by column of the output
  std::vector<int32_t> offset_;       // by window: what its sum is above that of centred values
  std::vector<float> factor_;
};

}  // namespace

KernelPtr cpu_pooling(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>&, std::string*) {
  const auto& pooling = static_cast<const PoolingOp&>(op);
  if (in[0].dtype == DType::kFloat32) return cpu_pooling_float(pooling, in[0].shape);
  return std::make_shared<CpuPooling>(pooling, in[0]);
}

}  // namespace mxq
