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

// An error's text with the operator's and the node's name in front: "mxq_conv 'conv1': ...", where `label` is both. A
// text may begin with either already.
inline std::string labelled(const std::string& op_name, const std::string& label, const std::string& text) {
  const std::string bare = op_name + ": ";
  if (text.compare(0, bare.size(), bare) == 0) return label + ": " + text.substr(bare.size());
  return text.compare(0, label.size(), label) == 0 ? text : label + ": " + text;
}

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
