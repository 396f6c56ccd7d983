// The text of the last error of a thread, on its way to MXNet.
#pragma once

#include <string>

namespace mxq {

void clear_error();
void set_error(const std::string& op_name, const std::string& label, const std::string& text);

}  // namespace mxq
