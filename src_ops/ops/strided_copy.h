// Operators that only move bytes: flatten, reshape, transpose, slice, expand_dims. Each says from where its output is
// read; one kernel does all of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../core/op.h"

namespace mxq {

// dst[dst_stride . i] = src[src_offset + src_stride . i] for every index i below `size`. In elements; the last axis is
// innermost.
struct StridedCopy {
  std::vector<int64_t> size, src_stride, dst_stride;
  int64_t src_offset = 0;

  void add_axis(int64_t n, int64_t from, int64_t to) {
    size.push_back(n);
    src_stride.push_back(from);
    dst_stride.push_back(to);
  }
};

// Strides of a dense tensor.
std::vector<int64_t> dense_strides(const Shape& shape);

// A copy to a dense output whose axis i is axis axes[i] of the dense input.
StridedCopy permuted_copy(const Shape& data, const std::vector<int64_t>& axes);

// (0, rank-1, 1, ..., rank-2): brings a channels-last tensor into channels-first order.
std::vector<int64_t> channels_first_axes(size_t rank);

// Drops axes of size 1 and merges neighbours that are one axis in source and destination.
StridedCopy simplified(const StridedCopy& copy);

// One 8-bit input, one output of the same type.
class MoveOp : public Op {
 public:
  int num_inputs() const override { return 1; }
  void infer_types(std::vector<DType>* in, std::vector<DType>* out) const override;
  bool is_view(const Shape& data) const override;
  // Input shape with every dimension known.
  virtual StridedCopy plan(const Shape& data) const = 0;
};

KernelPtr ref_strided_copy(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                           std::string* why_not);
KernelPtr cpu_strided_copy(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                           std::string* why_not);
KernelPtr cpu_transpose(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                        std::string* why_not);

}  // namespace mxq
