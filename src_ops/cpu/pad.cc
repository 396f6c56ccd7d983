// Row by row: a row is the last padded axis with all axes behind it, whose middle is one run of the input.
#include "../ops/pad.h"

#include <cstring>

#include "parallel.h"

namespace mxq {
namespace {

class CpuPad : public Kernel {
 public:
  CpuPad(const PadOp& op, const Shape& from, const Shape& to) : op_(op) {
    for (size_t i = 0; i < from.size(); ++i) {
      if (op.before[i] + op.after[i] > 0) last_ = i;
    }
    for (size_t i = last_ + 1; i < from.size(); ++i) inner_ *= from[i];
    size_ = from.empty() ? 1 : from[last_];
    before_ = from.empty() ? 0 : op.before[last_];
    after_ = from.empty() ? 0 : op.after[last_];
    row_ = (before_ + size_ + after_) * inner_;
    int64_t stride = size_ * inner_;
    for (size_t i = last_; i-- > 0;) {  // innermost first
      outer_from_.push_back(from[i]);
      outer_to_.push_back(to[i]);
      stride_.push_back(stride);
      stride *= from[i];
    }
    rows_ = num_elements(outer_to_);
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    if (row_ == 0) return;
    const uint8_t* src = in[0].as<uint8_t>();
    uint8_t* dst = out[0].as<uint8_t>();
    parallel_for(rows_, 2 * row_, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t at = row_source(r);
        if (at < 0) {
          std::memset(dst + r * row_, op_.value, row_);
        } else {
          fill_row(src + at, dst + r * row_);
        }
      }
    });
  }

 private:
  // Where row r of the output begins in the input; -1 where all of it is the constant.
  int64_t row_source(int64_t r) const {
    int64_t at = 0;
    for (size_t k = 0; k < outer_to_.size(); ++k) {
      const int64_t source = op_.source(last_ - 1 - k, r % outer_to_[k], outer_from_[k]);
      if (source < 0) return -1;
      at += source * stride_[k];
      r /= outer_to_[k];
    }
    return at;
  }

  void fill_row(const uint8_t* src, uint8_t* dst) const {
    std::memcpy(dst + before_ * inner_, src, size_ * inner_);
    if (op_.mode == PadOp::Mode::kConstant) {
      std::memset(dst, op_.value, before_ * inner_);
      std::memset(dst + (before_ + size_) * inner_, op_.value, after_ * inner_);
      return;
    }
    auto copy = [&](int64_t i) { std::memcpy(dst + i * inner_, src + op_.source(last_, i, size_) * inner_, inner_); };
    for (int64_t i = 0; i < before_; ++i) copy(i);
    for (int64_t i = before_ + size_; i < before_ + size_ + after_; ++i) copy(i);
  }

  const PadOp op_;
  size_t last_ = 0;  // the last padded axis
  int64_t inner_ = 1, size_, before_, after_, row_, rows_;
  std::vector<int64_t> outer_from_, outer_to_, stride_;
};

}  // namespace

KernelPtr cpu_pad(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out, std::string*) {
  return std::make_shared<CpuPad>(static_cast<const PadOp&>(op), in[0].shape, out[0].shape);
}

}  // namespace mxq
