#include "device.h"

#include <mutex>
#include <vector>

namespace mxq {
namespace cuda {

const Chip& chip() {
  static std::mutex mutex;
  static auto* chips = new std::vector<Chip*>;  // by device; never freed, kernels run until the process ends
  int device = 0;
  check(cudaGetDevice(&device), "asking for the device");
  std::lock_guard<std::mutex> lock(mutex);
  if (static_cast<int>(chips->size()) <= device) chips->resize(device + 1);
  Chip*& found = (*chips)[device];
  if (!found) {
    auto ask = [&](cudaDeviceAttr attribute) {
      int value = 0;
      check(cudaDeviceGetAttribute(&value, attribute, device), "asking for a property of the device");
      return value;
    };
    found = new Chip{ask(cudaDevAttrMultiProcessorCount),
                     10 * ask(cudaDevAttrComputeCapabilityMajor) + ask(cudaDevAttrComputeCapabilityMinor),
                     ask(cudaDevAttrMaxSharedMemoryPerBlockOptin)};
  }
  return *found;
}

}  // namespace cuda
}  // namespace mxq
