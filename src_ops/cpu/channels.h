// Moves between channels-first and channels-last by tiles that fit the first-level cache, converting on the way.
#pragma once

#include <algorithm>

#include "bytes.h"
#include "parallel.h"

namespace mxq {

constexpr int64_t kTileChannels = 64, kTileSpatial = 256;

// (N, C, S) -> bytes (N, S, C). convert(offset of the source element, channel, bytes, n) makes n bytes of one channel.
template <class Convert>
void to_channels_last(int64_t batch, int64_t channels, int64_t spatial, int64_t item_size, uint8_t* out,
                      Convert convert) {
  const int64_t blocks = (spatial + kTileSpatial - 1) / kTileSpatial;
  const int64_t bytes = std::min(spatial, kTileSpatial) * channels * (item_size + 1);
  parallel_for(batch * blocks, bytes, [&](int64_t begin, int64_t end) {
    alignas(64) uint8_t tile[kTileChannels * kTileSpatial];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / blocks, s = i % blocks * kTileSpatial;
      const int64_t width = std::min(kTileSpatial, spatial - s);
      for (int64_t c = 0; c < channels; c += kTileChannels) {
        const int64_t rows = std::min(kTileChannels, channels - c);
        for (int64_t r = 0; r < rows; ++r) {
          convert((n * channels + c + r) * spatial + s, c + r, tile + r * kTileSpatial, width);
        }
        transpose_bytes(tile, kTileSpatial, out + (n * spatial + s) * channels + c, channels, rows, width);
      }
    }
  });
}

// Bytes (N, S, C) -> (N, C, S). convert(bytes, batch, channel, offset of the target element, n) takes n bytes of one
// channel.
template <class Convert>
void from_channels_last(const uint8_t* src, int64_t batch, int64_t channels, int64_t spatial, int64_t item_size,
                        Convert convert) {
  const int64_t blocks = (spatial + kTileSpatial - 1) / kTileSpatial;
  const int64_t bytes = std::min(spatial, kTileSpatial) * channels * (item_size + 1);
  parallel_for(batch * blocks, bytes, [&](int64_t begin, int64_t end) {
    alignas(64) uint8_t tile[kTileChannels * kTileSpatial];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / blocks, s = i % blocks * kTileSpatial;
      const int64_t width = std::min(kTileSpatial, spatial - s);
      for (int64_t c = 0; c < channels; c += kTileChannels) {
        const int64_t rows = std::min(kTileChannels, channels - c);
        transpose_bytes(src + (n * spatial + s) * channels + c, channels, tile, kTileSpatial, width, rows);
        for (int64_t r = 0; r < rows; ++r) {
          convert(tile + r * kTileSpatial, n, c + r, (n * channels + c + r) * spatial + s, width);
        }
      }
    }
  });
}

}  // namespace mxq
