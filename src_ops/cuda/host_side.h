// What the adapter to MXNet needs of the GPU side, without CUDA's headers.
#pragma once

namespace mxq {
namespace cuda {

// Makes a device the current one of this thread. MXNet's threads have chosen theirs already, with MXNet's own copy of
// the CUDA runtime; this tells ours. It stays chosen: going back to what our copy saw before could take it from MXNet.
void use_device(int index);

// Throws what an earlier operator has found wrong with the values that it was given (see fault.h).
void raise_fault();

}  // namespace cuda
}  // namespace mxq
