// A kernel that runs in place of the one that was chosen, because of what only the parameters say.
#pragma once

#include "../core/op.h"

namespace mxq {

// `out` may be a part of a wider tensor though the other kernel writes dense memory only.
void run_other(const Kernel& other, const std::vector<Tensor>& in, const Tensor& out, RunContext* ctx);

}  // namespace mxq
