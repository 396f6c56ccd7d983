// A shape as errors print it.
#pragma once

#include <string>

#include "../core/tensor.h"

namespace mxq {

inline std::string shape_text(const Shape& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

}  // namespace mxq
