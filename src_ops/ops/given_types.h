// Inference fills in what is not known of inputs. An array that is there is known: a shape without dimensions, the
// host's way to say "unknown", is then an array of one element, and must not pass for any other.
#pragma once

#include <vector>

#include "../core/check.h"
#include "../core/tensor.h"
#include "shape_text.h"

namespace mxq {

// Throws where inference made something else of an input than it is.
inline void check_given_types(const std::vector<TensorType>& given, const std::vector<DType>& types,
                              const std::vector<Shape>& shapes) {
  for (size_t i = 0; i < given.size(); ++i) {
    MXQ_CHECK(types[i] == given[i].dtype,
              "input " << i << " has type " << name_of(given[i].dtype) << "; expected " << name_of(types[i]));
    MXQ_CHECK(shapes[i] == given[i].shape,
              "input " << i << " has shape " << shape_text(given[i].shape) << "; expected " << shape_text(shapes[i]));
  }
}

}  // namespace mxq
