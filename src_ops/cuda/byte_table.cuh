// A function of one byte, as the 256 values it has. Travels to the kernel with its arguments.
#pragma once

#include <cstdint>
#include <functional>

#include "../core/qmath.h"
#include "device.h"

namespace mxq {
namespace cuda {

struct ByteTable {
  uint8_t value[256];
};

// function(q) for each value q of the type, by the byte that holds it.
inline ByteTable byte_table(DType from, const std::function<int(int)>& function) {
  ByteTable table;
  for (int i = 0; i < 256; ++i) {
    table.value[i] = static_cast<uint8_t>(function(from == DType::kInt8 ? static_cast<int8_t>(i) : i));
  }
  return table;
}

#if defined(__CUDACC__) || defined(MXQ_EMULATED)
// Arguments of a kernel cannot be indexed by data at full speed: the block takes the table into shared memory.
__device__ inline void take_table(const ByteTable& table, uint8_t* shared) {
  for (unsigned i = threadIdx.x; i < 256; i += blockDim.x) shared[i] = table.value[i];
  __syncthreads();
}
#endif

}  // namespace cuda
}  // namespace mxq
