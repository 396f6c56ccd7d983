#include "strided_copy.h"

#include "eight_bit.h"

namespace mxq {

std::vector<int64_t> dense_strides(const Shape& shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

StridedCopy permuted_copy(const Shape& data, const std::vector<int64_t>& axes) {
  const std::vector<int64_t> from = dense_strides(data);
  Shape shape;
  for (int64_t axis : axes) shape.push_back(data[axis]);
  const std::vector<int64_t> to = dense_strides(shape);
  StridedCopy copy;
  for (size_t i = 0; i < axes.size(); ++i) copy.add_axis(shape[i], from[axes[i]], to[i]);
  return copy;
}

std::vector<int64_t> channels_first_axes(size_t rank) {
  std::vector<int64_t> axes(rank);
  for (size_t i = 0; i < rank; ++i) axes[i] = i < 2 ? static_cast<int64_t>(i) : static_cast<int64_t>(i) - 1;
  if (rank > 1) axes[1] = static_cast<int64_t>(rank) - 1;
  return axes;
}

StridedCopy simplified(const StridedCopy& copy) {
  StridedCopy out;
  out.src_offset = copy.src_offset;
  for (size_t i = 0; i < copy.size.size(); ++i) {
    const int64_t n = copy.size[i], from = copy.src_stride[i], to = copy.dst_stride[i];
    if (n == 1) continue;
    if (!out.size.empty() && out.src_stride.back() == from * n && out.dst_stride.back() == to * n) {
      out.size.back() *= n;
      out.src_stride.back() = from;
      out.dst_stride.back() = to;
    } else {
      out.add_axis(n, from, to);
    }
  }
  if (out.size.empty()) out.add_axis(1, 1, 1);
  return out;
}

void MoveOp::infer_types(std::vector<DType>* in, std::vector<DType>* out) const {
  check_8bit("data", (*in)[0]);
  (*out)[0] = (*in)[0];
}

bool MoveOp::is_view(const Shape& data) const {
  const StridedCopy copy = simplified(plan(data));
  return copy.src_offset == 0 && copy.size.size() == 1 && copy.size[0] == num_elements(data) &&
         (copy.size[0] == 1 || (copy.src_stride[0] == 1 && copy.dst_stride[0] == 1));
}

}  // namespace mxq
