// The loops of conv_winograd.cc: an image to points, products at each of 36 points, and back to 16 sums.
//
// F(4x4, 3x3) with the points 0, 1, -1, 2, -2 and infinity. The transforms of the image and of the weights have integer
// coefficients:
//   B^T = | 4  0 -5  0  1  0 |   G = | 1  0  0 |   A^T = | 6  4  4  1  1  0 |
//         | 0 -4 -4  1  1  0 |       |-1 -1 -1 |         | 0  4 -4  2 -2  0 |
//         | 0  4 -4 -1  1  0 |       |-1  1 -1 |         | 0  4  4  4  4  0 |
//         | 0 -2 -1  2  1  0 |       | 1  2  4 |         | 0  4 -4  8 -8 24 |
//         | 0  2 -1 -2  1  0 |       | 1 -2  4 |
//         | 0  4  0 -5  0  1 |       | 0  0  1 |
// and what the usual G divides by is in A^T, so that 576 times the sums comes out. Centred pixels, from -255 to 255,
// become at most 100 times as large, weights 49 times: both fit int16. Products are summed modulo 2^32, so is all that
// follows; 576 = 9 * 64, and 9 has an inverse. A sum that is known to be from -2^25 to 2^25 - 1 is what is left.
//
// Lavin and Gray, Fast algorithms for convolutional neural networks (2015), has the transforms; exact by residues
// instead of by a modulus of the machine: Liu and Mattina, Efficient residue number system based Winograd convolution
// (2020).
#pragma once

#include <cstdint>

#include "isa.h"

namespace mxq {
namespace winograd {

constexpr int kOutputs = 4, kTaps = 3, kInputs = kOutputs + kTaps - 1;  // along an axis
constexpr int kPoints = kInputs * kInputs;
constexpr int64_t kUnit = 16;         // output channels that belong together
constexpr int kMaxUnits = 4;          // of a block
constexpr int64_t kMaxSum = 1 << 25;  // of what a sum may be below 0; above 0 it must be less

// Weights at the points: block, point, panel, pair of input channels, unit of the panel, output channel, one of two.
struct Loops {
  bool one_panel;    // of all units of a block; else a panel has one unit
  int64_t together;  // pixels' channels are padded to a multiple of it

  // One tile. pixels: where the channels of each begin. Centred values at each point, `stride` behind those of the one
  // before it.
  void (*to_points)(const uint8_t* const* pixels, bool is_int8, int zero_point, int64_t channels, int16_t* to,
                    int64_t stride);
  // Sums over channels at one point, of tiles by a panel's output channels. `to_stride`: between tiles.
  void (*multiply)(const int16_t* image, int64_t image_stride, int64_t tiles, const int16_t* weights, int64_t pairs,
                   int64_t units, uint32_t* to, int64_t to_stride);
  // One tile: sums [16 outputs][units * 16], from what points have, `stride` apart.
  void (*from_points)(const uint32_t* points, int64_t stride, int64_t units, int32_t* sums);
};

// Null where there are none for these instructions. dot: there are 16-bit dot products (AVX-512 VNNI).
const Loops* loops(Isa isa, bool dot);
const Loops* loops_avx2();
const Loops* loops_avx512(bool dot);

// Weights of one pair of channels, [3][3], at the points.
void weights_to_points(const int* taps, int16_t* to);

}  // namespace winograd
}  // namespace mxq
