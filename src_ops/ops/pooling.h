#pragma once

#include <vector>

#include "../core/op.h"
#include "eight_bit.h"

namespace mxq {

// The windows of one pooling, with a 1-D tensor (N, W, C) as a 2-D one of height 1.
struct PoolGeometry {
  struct Axis {
    int64_t in, out, kernel, stride, pad;
    // Window `o` covers [begin, end) of the data; empty where it lies in the padding altogether.
    int64_t begin(int64_t o) const { return o * stride - pad > 0 ? o * stride - pad : 0; }
    int64_t end(int64_t o) const { return o * stride - pad + kernel < in ? o * stride - pad + kernel : in; }
    // How many positions the window counts for an average, padding included: what sticks out of the padding on the far
    // side (convention 'full') does not count.
    int64_t padded_count(int64_t o) const {
      const int64_t from = o * stride - pad, to = from + kernel;
      return (to < in + pad ? to : in + pad) - from;
    }
  };
  int64_t batch, channels;
  Axis h, w;
};

// Maximum or average over windows of a channels-last tensor, (N, W, C) or (N, H, W, C), as MXNet's Pooling has it.
//
//   max: the largest integer; type and scale of the output are those of the input. Padding never wins: a window without
//        any value (stride larger than the kernel, convention 'full') gives the smallest integer.
//   avg: t = fl(fl(SUM(q - in_zero_point)) * fl(in_scale / (out_scale * count))), then clamp(rint(t + out_zero_point));
//        a window without any value gives real 0.
//
// float32 data gives float32: the maximum, or the sum in the order of memory times fl(1 / count).
class PoolingOp : public Op {
 public:
  explicit PoolingOp(const Attrs& attrs);
  int num_inputs() const override { return 1; }
  void infer_types(std::vector<DType>* in, std::vector<DType>* out) const override;
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;
  PoolGeometry geometry(const Shape& data) const;

  // The multiplier of an average, for the window (oh, ow).
  float factor(const PoolGeometry& g, int64_t oh, int64_t ow) const;

  enum class Convention { kValid, kFull, kSame };
  std::vector<int64_t> kernel, stride, pad;  // unused where global
  bool is_max, is_global, count_include_pad;
  bool keepdims;  // global: (N, 1, 1, C) or (N, C)
  Convention convention;
  bool has_out_type;
  float in_scale;
  int in_zero_point;
  OutputType out;

 private:
  PoolGeometry::Axis axis(size_t i, size_t rank, int64_t size) const;
};

KernelPtr ref_pooling(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                      std::string* why_not);
KernelPtr cpu_pooling(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                      std::string* why_not);
KernelPtr cpu_pooling_float(const PoolingOp& op, const Shape& data);

}  // namespace mxq
