// The checked mode: NaN in what an operator reads is an error.
#pragma once

#include <vector>

#include "tensor.h"

namespace mxq {

// Whether it is on: the environment variable MXQ_CHECK_NAN when the process began, or what mxq_check_nan() said since.
bool checks_nan();

// Throws for the first NaN among float32 inputs in the memory of this process.
void check_no_nan(const std::vector<Tensor>& in);

}  // namespace mxq
