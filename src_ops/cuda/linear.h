// Convolution and fully connected layers as one matrix product: rows are output pixels, columns output channels, the
// depth runs over the taps of the window and the channels of each.
//
// The data is read where it lies (nothing is unrolled into memory): a tap of a pixel is a run of `run` bytes. Runs are
// padded to multiples of 16 in the weights only, with zeros. Taps outside the image, pixels past the last one and depth
// past the last tap are read from a line of zero points, so that acc = SUM x * w - zero_point * SUM w holds everywhere.
#pragma once

#include <cstdint>

#include "../ops/conv.h"
#include "arithmetic.cuh"

namespace mxq {
namespace cuda {

constexpr int kLine = 16;        // bytes that one thread brings at a time
constexpr int kDepthBlock = 64;  // bytes of depth per step; packed weights have multiples of it

// How the product sees its data. All pitches in bytes, which are elements.
struct View {
  int in_h, in_w, pixel_pitch, group_pitch;
  int64_t row_pitch, image_pitch;
  int stride_h, stride_w, dilate_h, dilate_w, pad_top, pad_left;
  int taps_h, taps_w, run, run_padded;
  int depth;  // of a packed row: taps * run_padded, rounded up to kDepthBlock
};

struct LinearParams {
  const uint8_t* data;
  const int8_t* weight;     // packed: (groups * group_out, depth)
  const uint8_t* pad_line;  // kLine bytes of the zero point
  const float *multiplier, *bias, *slope;
  const int32_t *correction, *bias_int;  // -zero_point * SUM w; the bias of an int32 output
  const uint8_t* residual;
  void* out;
  int32_t* partial;  // (splits, pixels, out_c), where splits > 1
  View view;
  int pixels, out_h, out_w, out_c, group_out;
  int granule;  // bytes by which the data is aligned: 16, 8 or 4
  int vector;   // output channels that one thread finishes at a time: 16, 4 or 1
  int n_tiles, splits, steps, steps_per_split;
  Stage stage;
};

// Byte offset in shared memory of line `line` of row `row` in a tile with rows of kDepthBlock bytes. Eight rows in a
// row, the same line of each, lie in different banks.
__device__ inline int line_offset(int row, int line) { return row * kDepthBlock + ((line ^ ((row >> 1) & 3)) * kLine); }

// Position of sum (row, column) in a tile of int32 with `columns` columns, a multiple of 64. Groups of four columns
// are exchanged so that both the tensor cores' way of writing and the reading of whole rows use all banks.
__device__ inline int sum_offset(int row, int column, int columns) {
  const int group = column >> 2;
  return row * columns + ((group ^ ((group >> 3) & 3) ^ ((row & 3) << 1)) << 2) + (column & 3);
}

// Where in window and channels a byte of the depth lies.
struct Tap {
  int y, x, channel;

  __device__ void start(const View& v, int at) {
    const int tap = at / v.run_padded;
    channel = at - tap * v.run_padded;
    y = tap / v.taps_w;
    x = tap - y * v.taps_w;
  }
  __device__ void advance(const View& v, int bytes) {
    channel += bytes;
    while (channel >= v.run_padded) {
      channel -= v.run_padded;
      if (++x == v.taps_w) {
        x = 0;
        ++y;
      }
    }
  }
};

// Turns sums into outputs: the rest of the operator after the accumulator. kWidth neighbouring channels at once.
template <int kWidth>
struct Finish {
  float multiplier[kWidth], bias[kWidth], slope[kWidth];
  int correction[kWidth];

  // `channel` is that of the output, not of the group.
  __device__ void load(const LinearParams& p, int channel) {
    for (int i = 0; i < kWidth; ++i) {
      multiplier[i] = p.multiplier[channel + i];
      bias[i] = p.bias[channel + i];
      slope[i] = p.slope[channel + i];
      correction[i] = p.correction[channel + i];
    }
  }

  __device__ void store(const LinearParams& p, const int* sums, int64_t at, int channel) const {
    if (p.stage.to.is_int32) {
      int32_t* out = static_cast<int32_t*>(p.out);
      for (int i = 0; i < kWidth; ++i) {
        const int sum = static_cast<int>(static_cast<unsigned>(sums[i]) + static_cast<unsigned>(correction[i]));
        out[at + i] = clamp_int32(int64_t{sum} + p.bias_int[channel + i]);
      }
      return;
    }
    union {
      uint8_t bytes[16];
      uint4 whole;
      unsigned word;
    } residual = {}, packed;
    if (p.residual && !p.stage.residual_float) {  // may be the memory of the output, so no read-only loads
      if (kWidth == 16) {
        residual.whole = *reinterpret_cast<const uint4*>(p.residual + at);
      } else if (kWidth == 4) {
        residual.word = *reinterpret_cast<const unsigned*>(p.residual + at);
      } else {
        residual.bytes[0] = p.residual[at];
      }
    }
    float t[kWidth];
    for (int i = 0; i < kWidth; ++i) {
      const int sum = static_cast<int>(static_cast<unsigned>(sums[i]) + static_cast<unsigned>(correction[i]));
      const float r = p.stage.residual_float
                          ? reinterpret_cast<const float*>(p.residual)[at + i]
                          : static_cast<float>(read_8bit(residual.bytes, i, p.stage.residual_unsigned));
      t[i] = stage_value(p.stage, static_cast<float>(sum), multiplier[i], bias[i], slope[i], r);
      packed.bytes[i] = static_cast<uint8_t>(quantized(p.stage.to, t[i]));
    }
    if (p.stage.to.is_float) {
      for (int i = 0; i < kWidth; ++i) static_cast<float*>(p.out)[at + i] = t[i];
    } else if (kWidth == 16) {
      *reinterpret_cast<uint4*>(static_cast<uint8_t*>(p.out) + at) = packed.whole;
    } else if (kWidth == 4) {
      *reinterpret_cast<unsigned*>(static_cast<uint8_t*>(p.out) + at) = packed.word;
    } else {
      static_cast<uint8_t*>(p.out)[at] = packed.bytes[0];
    }
  }
};

// A tile shape of the product: what can be chosen per layer.
struct TileShape {
  const char* name;
  int rows, columns, threads, shared_bytes, least_capability;
  double speed;  // of the inner loop, relative to the fastest
  void (*launch)(const LinearParams& params, bool data_unsigned, int groups, cudaStream_t stream);
};

// The tensor-core tiles of compute capability 8.0 and later, then the one without.
extern const TileShape kTiles[];
extern const int kTileCount;
constexpr int kDotTile = 5;  // index of the one without tensor cores

// Adds up the splits of the depth and finishes.
void launch_finish(const LinearParams& params, cudaStream_t stream);

}  // namespace cuda
}  // namespace mxq
