#include "other_kernel.h"

#include <cstring>

namespace mxq {

void run_other(const Kernel& other, const std::vector<Tensor>& in, const Tensor& out, RunContext* ctx) {
  if (!out.row_bytes || other.writes_rows()) return other.run(in, {out}, ctx);
  const auto row = static_cast<int64_t>(out.shape().back() * size_of(out.dtype()));
  Tensor dense = out;
  dense.row_bytes = 0;
  dense.data = ctx->workspace(out.size() * size_of(out.dtype()));
  other.run(in, {dense}, ctx);
  for (int64_t r = 0; r < out.size() / out.shape().back(); ++r) {
    std::memcpy(out.as<char>() + r * out.row_bytes, dense.as<char>() + r * row, row);
  }
}

}  // namespace mxq
