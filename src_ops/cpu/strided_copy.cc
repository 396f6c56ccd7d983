// Long runs are copied as they are; where source and destination run along different axes, tiles are transposed in
// registers.
#include "../ops/strided_copy.h"

#include <algorithm>
#include <cstring>

#include "bytes.h"
#include "parallel.h"

namespace mxq {
namespace {

enum class Inner { kRun, kTranspose, kPlain };

class CpuStridedCopy : public Kernel {
 public:
  explicit CpuStridedCopy(const StridedCopy& copy) : outer_(simplified(copy)), total_(num_elements(outer_.size)) {
    if (total_ == 0) return;
    const size_t last = outer_.size.size() - 1;
    if (outer_.dst_stride[last] == 1 && outer_.src_stride[last] == 1) {
      inner_ = Inner::kRun;
    } else {
      for (size_t i = 0; i < last && outer_.dst_stride[last] == 1; ++i) {
        if (outer_.src_stride[i] != 1) continue;
        inner_ = Inner::kTranspose;
        cols_ = take(i, &cols_src_, &cols_dst_);
        break;
      }
    }
    // The axis that the destination runs along.
    rows_ = take(outer_.size.size() - 1, &rows_src_, &rows_dst_);
    count_ = num_elements(outer_.size);
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    if (total_ == 0) return;
    const uint8_t* src = in[0].as<uint8_t>() + outer_.src_offset;
    uint8_t* dst = out[0].as<uint8_t>();
    if (count_ == 1) {  // one large piece: divided along its longer side
      const bool by_cols = inner_ == Inner::kTranspose && cols_ > rows_;
      parallel_for(by_cols ? cols_ : rows_, 2 * (by_cols ? rows_ : cols_), [&](int64_t begin, int64_t end) {
        if (by_cols) {
          piece(src + begin * cols_src_, dst + begin * cols_dst_, rows_, end - begin);
        } else {
          piece(src + begin * rows_src_, dst + begin * rows_dst_, end - begin, cols_);
        }
      });
      return;
    }
    if (inner_ == Inner::kRun && outer_.size.size() == 1 && outer_.dst_stride[0] == rows_) {
      parallel_for(count_, 2 * rows_, [&](int64_t begin, int64_t end) {
        copy_runs(src + begin * outer_.src_stride[0], outer_.src_stride[0], dst + begin * rows_, end - begin, rows_);
      });
      return;
    }
    parallel_for(count_, 2 * rows_ * cols_, [&](int64_t begin, int64_t end) {
      const size_t axes = outer_.size.size();
      std::vector<int64_t> at(axes);
      int64_t from = 0, to = 0, rest = begin;
      for (size_t i = axes; i-- > 0;) {
        at[i] = rest % outer_.size[i];
        rest /= outer_.size[i];
        from += at[i] * outer_.src_stride[i];
        to += at[i] * outer_.dst_stride[i];
      }
      for (int64_t k = begin; k < end; ++k) {
        piece(src + from, dst + to, rows_, cols_);
        for (size_t i = axes; i-- > 0;) {  // the next index, counted like an odometer
          from += outer_.src_stride[i];
          to += outer_.dst_stride[i];
          if (++at[i] < outer_.size[i]) break;
          from -= at[i] * outer_.src_stride[i];
          to -= at[i] * outer_.dst_stride[i];
          at[i] = 0;
        }
      }
    });
  }

 private:
  int64_t take(size_t axis, int64_t* src, int64_t* dst) {
    const int64_t n = outer_.size[axis];
    *src = outer_.src_stride[axis];
    *dst = outer_.dst_stride[axis];
    for (auto* list : {&outer_.size, &outer_.src_stride, &outer_.dst_stride}) list->erase(list->begin() + axis);
    return n;
  }

  void piece(const uint8_t* src, uint8_t* dst, int64_t rows, int64_t cols) const {
    if (inner_ == Inner::kRun) {
      std::memcpy(dst, src, rows);
    } else if (inner_ == Inner::kTranspose) {
      transpose_bytes(src, rows_src_, dst, cols_dst_, rows, cols);
    } else {
      for (int64_t r = 0; r < rows; ++r) dst[r * rows_dst_] = src[r * rows_src_];
    }
  }

  StridedCopy outer_;  // the axes around a piece
  int64_t total_;
  Inner inner_ = Inner::kPlain;
  int64_t rows_ = 1, rows_src_ = 1, rows_dst_ = 1;  // along the destination
  int64_t cols_ = 1, cols_src_ = 1, cols_dst_ = 1;  // along the source, where that is another axis
  int64_t count_ = 0;
};

}  // namespace

KernelPtr cpu_strided_copy(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>&,
                           std::string*) {
  return std::make_shared<CpuStridedCopy>(static_cast<const MoveOp&>(op).plan(in[0].shape));
}

}  // namespace mxq
