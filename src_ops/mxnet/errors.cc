// Replaces the error list of lib_api.cc, which is shared by all threads, never cleared (an error drags all earlier ones
// along) and allocates a string at each read.
#include "errors.h"

#include <mxnet/lib_api.h>

namespace mxq {
namespace {
thread_local std::string message;
}

void clear_error() { message.clear(); }

void set_error(const std::string& op_name, const std::string& label, const std::string& text) {
  // Texts that already name the operator get the node's name as well, the others both.
  const std::string bare = op_name + ": ";
  if (text.compare(0, label.size(), label) == 0 && text.compare(0, bare.size(), bare) != 0) {
    message = text;
  } else if (text.compare(0, bare.size(), bare) == 0) {
    message = label + ": " + text.substr(bare.size());
  } else {
    message = label + ": " + text;
  }
}

}  // namespace mxq

extern "C" {

MX_INT_RET _msgSize() { return mxq::message.empty() ? 0 : 1; }

MX_VOID_RET _msgGet(int, const char** text) { *text = mxq::message.c_str(); }

}  // extern "C"
