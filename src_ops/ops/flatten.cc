#include "flatten.h"

#include "../core/check.h"
#include "../core/sizes.h"

namespace mxq {

void FlattenOp::infer_types(std::vector<DType>* in, std::vector<DType>* out) const {
  if ((*in)[0] != DType::kFloat32) return MoveOp::infer_types(in, out);
  (*out)[0] = DType::kFloat32;
}

void FlattenOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const {
  const Shape& data = (*in)[0];
  MXQ_CHECK(!data.empty(), "data has no dimensions; accepted are 1 or more");
  int64_t rest = 1;
  for (size_t i = 1; i < data.size(); ++i) rest = size_product(rest, data[i]);
  (*out)[0] = {data[0], rest};
}

StridedCopy FlattenOp::plan(const Shape& data) const {
  if (!channels_last) return permuted_copy({num_elements(data)}, {0});
  return permuted_copy(data, channels_first_axes(data.size()));
}

OpEntry flatten_entry() {
  return {"mxq_flatten",
          [](const Attrs& attrs) -> std::unique_ptr<Op> { return std::make_unique<FlattenOp>(attrs); },
          {{"avx", cpu_transpose}, {"ref", ref_strided_copy}}};
}

}  // namespace mxq
