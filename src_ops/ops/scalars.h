// Sums and products with numbers that are the same for all elements, in an order: what networks do to pixels.
//   scalars="-127.5 *0.0078125": minus, plus, times and by are - + * /; each is one rounding to float32
#pragma once

#include <cstdlib>
#include <sstream>
#include <string>

#include "../core/attrs.h"

namespace mxq {

constexpr int kMostScalars = 4;

struct Scalars {
  int count = 0;
  char op[kMostScalars] = {};
  float number[kMostScalars] = {};

  float operator()(float x) const {
    for (int i = 0; i < count; ++i) {
      const float s = number[i];
      x = op[i] == '-' ? x - s : op[i] == '+' ? x + s : op[i] == '*' ? x * s : x / s;
    }
    return x;
  }
};

inline Scalars get_scalars(const Attrs& attrs) {
  Scalars scalars;
  std::istringstream text(attrs.get_string("scalars", ""));
  for (std::string word; text >> word;) {
    char* end = nullptr;
    const bool known = std::string("-+*/").find(word[0]) != std::string::npos && word.size() > 1;
    const auto number = static_cast<float>(std::strtod(word.c_str() + 1, &end));
    if (!known || *end != '\0' || !(number - number == 0.0f) || scalars.count == kMostScalars) {
      attrs.fail("scalars", "up to 4 finite numbers, each behind one of - + * /, as in \"-127.5 *0.0078125\"");
    }
    scalars.op[scalars.count] = word[0];
    scalars.number[scalars.count++] = number;
  }
  return scalars;
}

}  // namespace mxq
