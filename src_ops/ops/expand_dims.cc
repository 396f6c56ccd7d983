#include "expand_dims.h"

#include "../core/check.h"

namespace mxq {

void ExpandDimsOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const {
  Shape shape = (*in)[0];
  const int64_t n = static_cast<int64_t>(shape.size()) + 1;
  MXQ_CHECK(axis >= -n && axis < n, "attribute axis=" << axis << ": must lie in [" << -n << ", " << n - 1
                                                      << "], as data has " << n - 1 << " dimensions");
  shape.insert(shape.begin() + (axis < 0 ? axis + n : axis), 1);
  (*out)[0] = shape;
}

StridedCopy ExpandDimsOp::plan(const Shape& data) const { return permuted_copy({num_elements(data)}, {0}); }

OpEntry expand_dims_entry() {
  return {"mxq_expand_dims",
          [](const Attrs& attrs) -> std::unique_ptr<Op> { return std::make_unique<ExpandDimsOp>(attrs); },
          {{"avx", cpu_strided_copy}, {"ref", ref_strided_copy}}};
}

}  // namespace mxq
