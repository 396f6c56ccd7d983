// Which oneDNN the library was compiled with and runs with, "none" without.
#pragma once

#include <string>

namespace mxq {

struct OnednnVersion {
  std::string compiled, running, isa;
};
OnednnVersion onednn_version();

}  // namespace mxq
