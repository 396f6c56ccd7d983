#pragma once

#include "linear.h"

namespace mxq {
namespace cuda {

void launch_256x128(const LinearParams& p, bool data_unsigned, int groups, cudaStream_t stream);
void launch_128x128(const LinearParams& p, bool data_unsigned, int groups, cudaStream_t stream);

}  // namespace cuda
}  // namespace mxq
