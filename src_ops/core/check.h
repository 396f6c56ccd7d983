// Errors for a person: they say what failed, the value given, what is accepted and what to do.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace mxq {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace mxq

// MXQ_CHECK(cond, "mxq_conv: data has " << n << " channels; expected " << m);
#define MXQ_CHECK(cond, message)               \
  do {                                         \
    if (!(cond)) {                             \
      std::ostringstream mxq_check_out;        \
      mxq_check_out << message;                \
      throw ::mxq::Error(mxq_check_out.str()); \
    }                                          \
  } while (0)
