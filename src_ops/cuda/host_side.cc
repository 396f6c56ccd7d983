#include "host_side.h"

#include "device.h"
#include "fault.h"

namespace mxq {
namespace cuda {

void use_device(int index) {
  int current = 0;
  check(cudaGetDevice(&current), "asking for the device");
  if (current != index) check(cudaSetDevice(index), "choosing the device");
}

void raise_fault() {
  const std::string text = take_fault();
  MXQ_CHECK(text.empty(), text);
}

}  // namespace cuda
}  // namespace mxq

// The text of what was found on a GPU and not raised yet, or null. Valid until the same thread asks again. For programs
// that have waited for the stream and want to know now.
extern "C" const char* mxq_cuda_take_fault() noexcept {
  try {
    thread_local std::string text;
    text = mxq::cuda::take_fault();
    return text.empty() ? nullptr : text.c_str();
  } catch (...) {
    return nullptr;
  }
}
