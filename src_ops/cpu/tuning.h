// Which implementation is the fastest, measured where estimates are close.
//
// Estimates (Implementation::speed) are those of one processor. Where others come within a factor of 1.5 of the best,
// a few runs on made-up data decide when a kernel is made: on one thread, by its own processor time, so that a busy
// machine changes little. All that is measured is remembered by the process, and by a file where the environment
// variable MXQ_TUNING names one; MXQ_TUNING=off leaves it at estimates. Every implementation gives the same integers.
#pragma once

#include <string>
#include <vector>

#include "../core/op.h"

namespace mxq {

// The number of the one to take. `order`: by estimate, best first, all with a speed. At least one of them applies.
size_t fastest(const std::string& name, const Op& op, const std::vector<TensorType>& in,
               const std::vector<TensorType>& out, const std::vector<const Implementation*>& order);

// What this process knows, as a JSON list.
std::string tuning_as_json();

}  // namespace mxq
