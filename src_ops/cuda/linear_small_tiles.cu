// The smaller tile shapes for tensor cores, and the one without.
#include "linear_tile.cuh"
#include "linear_tiles.h"

namespace mxq {
namespace cuda {
namespace {

using Small = TensorTile<64, 64, 2, 2, 5>;
using Flat = TensorTile<64, 128, 2, 4, 4>;
using Tall = TensorTile<128, 64, 4, 2, 4>;
using Dot = DotTile<64, 2>;

}  // namespace

// The speeds are estimates until they have been measured.
const TileShape kTiles[] = {
    {"mma256x128", 256, 128, 256, 256 * 128 * 4, 80, 1.0, launch_256x128},
    {"mma128x128", 128, 128, 256, 128 * 128 * 4, 80, 0.95, launch_128x128},
    {"mma128x64", 128, 64, 256, tile_shared_bytes<Tall>(), 80, 0.8, launch_tile<Tall>},
    {"mma64x128", 64, 128, 256, tile_shared_bytes<Flat>(), 80, 0.8, launch_tile<Flat>},
    {"mma64x64", 64, 64, 128, tile_shared_bytes<Small>(), 80, 0.7, launch_tile<Small>},
    {"dp4a", 64, 64, 256, tile_shared_bytes<Dot>(), 61, 0.1, launch_tile<Dot>},
};
const int kTileCount = sizeof(kTiles) / sizeof(kTiles[0]);

}  // namespace cuda
}  // namespace mxq
