#include "region_batch.h"

#include "../core/check.h"

namespace mxq {
namespace {

// Whether `part` is `whole` with its first axis cut from `batch` to `examples`. With a single axis, which may be that
// of channels too, nothing is certain.
bool is_cut(const TensorType& whole, const TensorType& part, int64_t batch, int64_t examples) {
  if (whole.shape.size() < 2 || whole.shape.size() != part.shape.size() || whole.dtype != part.dtype) return false;
  if (whole.shape[0] * examples != part.shape[0] * batch) return false;
  for (size_t d = 1; d < whole.shape.size(); ++d) {
    if (whole.shape[d] != part.shape[d]) return false;
  }
  return true;
}

}  // namespace

std::vector<TensorType> part_of_batch(const RegionOp& op, const std::vector<TensorType>& in, int64_t examples) {
  // Beside packed parameters every other input is data. Without them an input may be a parameter.
  if (op.packed.empty() || in[0].shape.size() < 2) return {};
  const int64_t batch = in[0].shape[0];
  const size_t num_data = in.size() - 1;
  std::vector<TensorType> part = in;
  for (size_t i = 0; i < num_data; ++i) {
    if (part[i].shape.size() < 2 || part[i].shape[0] != batch) return {};
    part[i].shape[0] = examples;
  }
  std::vector<std::vector<TensorType>> whole_types, part_types;
  try {
    whole_types = op.types(in);
    part_types = op.types(part);
  } catch (const Error&) {  // an operator made for this batch
    return {};
  }
  const std::vector<TensorType> all = op.with_packed(in);
  std::vector<bool> depends;  // of each line's outputs on the data
  const auto is_data = [&](const RegionValue& v) {
    return v.line < 0 ? static_cast<size_t>(v.index) < num_data : static_cast<bool>(depends[v.line]);
  };
  for (size_t i = 0; i < op.lines->size(); ++i) {
    const RegionLine& line = (*op.lines)[i];
    std::vector<TensorType> types;
    const TensorType* first = nullptr;
    for (const RegionValue& v : line.inputs) {
      const TensorType& type = v.line < 0 ? all[v.index] : whole_types[v.line][v.index];
      types.push_back(type);
      if (!is_data(v)) continue;
      // With another rank the first axes of two tensors would not be the same one.
      if (first && (type.shape.size() != first->shape.size() || type.shape[0] != first->shape[0])) return {};
      first = &type;
    }
    depends.push_back(first != nullptr);
    if (!first) continue;
    if (line.op->mixes_examples(types)) return {};
    for (size_t k = 0; k < whole_types[i].size(); ++k) {
      if (!is_cut(whole_types[i][k], part_types[i][k], batch, examples)) return {};
    }
  }
  for (const RegionValue& v : op.outputs) {
    if (!is_data(v)) return {};
  }
  return part;
}

}  // namespace mxq
