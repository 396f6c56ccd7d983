// Rules about shapes that several operators share.
#pragma once

#include "../core/tensor.h"

namespace mxq {

// (N, C, spatial...) -> (N, spatial..., C). Throws for less than two dimensions.
Shape channels_last_of(const Shape& shape);
// (N, spatial..., C) -> (N, C, spatial...). Throws for less than two dimensions.
Shape channels_first_of(const Shape& shape);
// The attribute `axis` as a number from 0. Throws where data of this shape has no such axis.
int64_t axis_of(const Shape& shape, int64_t axis);

}  // namespace mxq
