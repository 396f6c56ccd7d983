// What an operator says of itself whose implementations are measured against each other (cpu/tuning.h).
#pragma once

#include <string>

namespace mxq {

class Measured {
 public:
  virtual ~Measured() = default;
  // What the time of a run depends on, beside type and shape of the first input, as text.
  virtual std::string work() const = 0;
};

}  // namespace mxq
