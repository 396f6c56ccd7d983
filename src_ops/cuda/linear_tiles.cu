// The tile shapes for tensor cores with the most sums.
#include "linear_tile.cuh"
#include "linear_tiles.h"

namespace mxq {
namespace cuda {

void launch_256x128(const LinearParams& p, bool data_unsigned, int groups, cudaStream_t stream) {
  launch_tile<TensorTile<256, 128, 4, 2, 3>>(p, data_unsigned, groups, stream);
}
void launch_128x128(const LinearParams& p, bool data_unsigned, int groups, cudaStream_t stream) {
  launch_tile<TensorTile<128, 128, 2, 4, 4>>(p, data_unsigned, groups, stream);
}

}  // namespace cuda
}  // namespace mxq
