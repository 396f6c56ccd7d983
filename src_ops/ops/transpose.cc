#include "transpose.h"

#include "../core/check.h"
#include "shape_text.h"

namespace mxq {

std::vector<int64_t> TransposeOp::order(size_t rank) const {
  const int64_t n = static_cast<int64_t>(rank);
  std::vector<int64_t> out;
  for (int64_t i = 0; i < n && axes.empty(); ++i) out.push_back(n - 1 - i);
  std::vector<bool> seen(rank, false);
  for (int64_t axis : axes) {
    const int64_t at = axis < 0 ? axis + n : axis;
    const bool is_new = axes.size() == rank && at >= 0 && at < n && !seen[at];
    MXQ_CHECK(is_new,
              "attribute axes=" << shape_text(axes) << ": must name each of the " << rank << " axes of data once");
    seen[at] = true;
    out.push_back(at);
  }
  return out;
}

void TransposeOp::infer_types(std::vector<DType>* in, std::vector<DType>* out) const {
  if ((*in)[0] != DType::kFloat32) return MoveOp::infer_types(in, out);
  (*out)[0] = DType::kFloat32;
}

void TransposeOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const {
  const Shape data = (*in)[0];
  Shape& shape = (*out)[0];
  shape.clear();
  for (int64_t axis : order(data.size())) shape.push_back(data[axis]);
}

StridedCopy TransposeOp::plan(const Shape& data) const { return permuted_copy(data, order(data.size())); }

OpEntry transpose_entry() {
  return {"mxq_transpose",
          [](const Attrs& attrs) -> std::unique_ptr<Op> { return std::make_unique<TransposeOp>(attrs); },
          {{"avx", cpu_transpose}, {"ref", ref_strided_copy}}};
}

}  // namespace mxq
