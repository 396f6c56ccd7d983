// Replaces the error list of lib_api.cc, which is shared by all threads, never cleared (an error drags all earlier ones
// along) and allocates a string at each read.
#include "errors.h"

#include <mxnet/lib_api.h>

#include "../core/check.h"

namespace mxq {
namespace {
thread_local std::string message;
}

void clear_error() { message.clear(); }

void set_error(const std::string& op_name, const std::string& label, const std::string& text) {
  message = labelled(op_name, label, text);
}

}  // namespace mxq

extern "C" {

MX_INT_RET _msgSize() { return mxq::message.empty() ? 0 : 1; }

MX_VOID_RET _msgGet(int, const char** text) { *text = mxq::message.c_str(); }

}  // extern "C"
