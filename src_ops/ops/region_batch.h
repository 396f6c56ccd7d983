// Batches of a region in parts.
#pragma once

#include <vector>

#include "region.h"

namespace mxq {

// Types of the region's inputs for so many of the batch's examples, which must divide it. Empty unless the outputs for
// a batch are those of its parts, one behind the other: the first axis of every tensor that depends on the data is that
// of examples, or of examples with places in them.
std::vector<TensorType> part_of_batch(const RegionOp& op, const std::vector<TensorType>& in, int64_t examples);

}  // namespace mxq
