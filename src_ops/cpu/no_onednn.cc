// In the place of the oneDNN implementations where the library is built without oneDNN (MXQ_ONEDNN=0).
#include "../ops/fully_connected.h"
#include "onednn_version.h"

namespace mxq {

KernelPtr cpu_conv_onednn(const Op&, const std::vector<TensorType>&, const std::vector<TensorType>&,
                          std::string* why_not) {
  *why_not = "the library was built without oneDNN";
  return nullptr;
}

KernelPtr cpu_fully_connected_onednn(const Op&, const std::vector<TensorType>&, const std::vector<TensorType>&,
                                     std::string* why_not) {
  *why_not = "the library was built without oneDNN";
  return nullptr;
}

OnednnVersion onednn_version() { return {"none", "none", "none"}; }

}  // namespace mxq
