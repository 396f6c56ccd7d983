// What the adapter to MXNet needs of the GPU side, without CUDA's headers.
#pragma once

namespace mxq {
namespace cuda {

// Makes a device the current one of this thread for a while. MXNet has its own copy of the CUDA runtime.
class OnDevice {
 public:
  explicit OnDevice(int index);  // -1: nothing to do
  ~OnDevice();
  OnDevice(const OnDevice&) = delete;

 private:
  int before_ = -1;
};

// Throws what an earlier operator has found wrong with the values that it was given (see fault.h).
void raise_fault();

}  // namespace cuda
}  // namespace mxq
