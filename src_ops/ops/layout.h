// Rules about shapes that several operators share.
#pragma once

#include "../core/attrs.h"
#include "../core/tensor.h"

namespace mxq {

// (N, C, spatial...) -> (N, spatial..., C). Throws for less than two dimensions.
Shape channels_last_of(const Shape& shape);
// (N, spatial..., C) -> (N, C, spatial...). Throws for less than two dimensions.
Shape channels_first_of(const Shape& shape);
// The attribute `axis` as a number from 0. Throws where data of this shape has no such axis.
int64_t axis_of(const Shape& shape, int64_t axis);

// The attribute `fine_steps`: parts of a step that the second half of the channels counts; 1 where there is none.
int get_fine_steps(const Attrs& attrs);

}  // namespace mxq
