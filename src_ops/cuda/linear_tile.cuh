// The matrix product, tile by tile: a pipeline of asynchronous copies into shared memory, products from there, and the
// finishing of outputs by way of shared memory, so that every read and write of global memory is whole lines.
#pragma once

#include "linear.h"
#include "ptx.cuh"

namespace mxq {
namespace cuda {

// Products on tensor cores: warps in a grid of kWarpRows x kWarpColumns over the tile.
template <int kRows_, int kColumns_, int kWarpRows, int kWarpColumns, int kStages_>
struct TensorTile {
  static constexpr int kRows = kRows_, kColumns = kColumns_, kStages = kStages_;
  static constexpr int kThreads = 32 * kWarpRows * kWarpColumns;
  static constexpr int kBlocksPerMultiprocessor = kRows * kColumns / kThreads > 64 ? 1 : 2;  // room for the sums
  static constexpr int kM = kRows / kWarpRows / 16, kN = kColumns / kWarpColumns / 8;        // products of a warp
  static_assert(kM >= 1 && kN >= 2 && kN % 2 == 0, "a warp takes pairs of columns");

  template <bool kUnsigned>
  struct Sums {
    int c[kM][kN][4];

    __device__ Sums() {
#pragma unroll
      for (int i = 0; i < kM; ++i) {
#pragma unroll
        for (int j = 0; j < kN; ++j) c[i][j][0] = c[i][j][1] = c[i][j][2] = c[i][j][3] = 0;
      }
    }
    __device__ static int first_row() { return threadIdx.x / 32 / kWarpColumns * (16 * kM); }
    __device__ static int first_column() { return threadIdx.x / 32 % kWarpColumns * (8 * kN); }

    __device__ void add(const char* a, const char* b) {
#if MXQ_HAS_MMA
      const int lane = threadIdx.x % 32;
#pragma unroll
      for (int k = 0; k < kDepthBlock / 32; ++k) {
        uint32_t columns[kN][2];
#pragma unroll
        for (int j = 0; j < kN; j += 2) {  // matrices: columns j lines 0 and 1, columns j + 1 lines 0 and 1
          const int row = first_column() + 8 * j + lane % 8 + lane / 16 * 8;
          uint32_t loaded[4];
          load_matrices(loaded, b + line_offset(row, 2 * k + lane / 8 % 2));
          columns[j][0] = loaded[0], columns[j][1] = loaded[1];
          columns[j + 1][0] = loaded[2], columns[j + 1][1] = loaded[3];
        }
#pragma unroll
        for (int i = 0; i < kM; ++i) {  // matrices: rows 0-7 and 8-15 of line 0, the same of line 1
          const int row = first_row() + 16 * i + lane % 16;
          uint32_t rows[4];
          load_matrices(rows, a + line_offset(row, 2 * k + lane / 16));
#pragma unroll
          for (int j = 0; j < kN; ++j) multiply_add<kUnsigned>(c[i][j], rows, columns[j]);
        }
      }
#endif
    }

    __device__ void put(int* sums) const {
      const int lane = threadIdx.x % 32;
#pragma unroll
      for (int i = 0; i < kM; ++i) {
#pragma unroll
        for (int j = 0; j < kN; ++j) {
          const int row = first_row() + 16 * i + lane / 4, column = first_column() + 8 * j + lane % 4 * 2;
          *reinterpret_cast<int2*>(sums + sum_offset(row, column, kColumns)) = make_int2(c[i][j][0], c[i][j][1]);
          *reinterpret_cast<int2*>(sums + sum_offset(row + 8, column, kColumns)) = make_int2(c[i][j][2], c[i][j][3]);
        }
      }
    }
  };
};

// Products by dp4a, for chips without integer tensor cores that we use: each of 16 x 16 threads has every 16th row and
// column.
template <int kSide, int kStages_>
struct DotTile {
  static constexpr int kRows = kSide, kColumns = kSide, kStages = kStages_, kThreads = 256;
  static constexpr int kBlocksPerMultiprocessor = 2;
  static constexpr int kEach = kSide / 16;

  template <bool kUnsigned>
  struct Sums {
    int c[kEach][kEach];

    __device__ Sums() {
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
#pragma unroll
        for (int j = 0; j < kEach; ++j) c[i][j] = 0;
      }
    }

    __device__ void add(const char* a, const char* b) {
      const int x = threadIdx.x % 16, y = threadIdx.x / 16;
#pragma unroll
      for (int line = 0; line < kDepthBlock / kLine; ++line) {
        uint4 columns[kEach];
#pragma unroll
        for (int j = 0; j < kEach; ++j) columns[j] = *reinterpret_cast<const uint4*>(b + line_offset(x + 16 * j, line));
#pragma unroll
        for (int i = 0; i < kEach; ++i) {
          const uint4 row = *reinterpret_cast<const uint4*>(a + line_offset(y + 16 * i, line));
#pragma unroll
          for (int j = 0; j < kEach; ++j) {
            int sum = c[i][j];
            sum = dot4<kUnsigned>(row.x, columns[j].x, sum);
            sum = dot4<kUnsigned>(row.y, columns[j].y, sum);
            sum = dot4<kUnsigned>(row.z, columns[j].z, sum);
            c[i][j] = dot4<kUnsigned>(row.w, columns[j].w, sum);
          }
        }
      }
    }

    __device__ void put(int* sums) const {
      const int x = threadIdx.x % 16, y = threadIdx.x / 16;
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
#pragma unroll
        for (int j = 0; j < kEach; ++j) sums[sum_offset(y + 16 * i, x + 16 * j, kColumns)] = c[i][j];
      }
    }
  };
};

template <class Tile>
constexpr int tile_shared_bytes() {
  const int lines = Tile::kStages * (Tile::kRows + Tile::kColumns) * kDepthBlock;
  const int sums = Tile::kRows * Tile::kColumns * 4;
  return lines > sums ? lines : sums;
}

// Brings the lines of both operands that one thread is responsible for, step after step.
template <class Tile>
struct Loader {
  static constexpr int kLines = kDepthBlock / kLine;  // of a row, one for each thread
  static constexpr int kRowsAtOnce = Tile::kThreads / kLines;
  static constexpr int kDataRows = Tile::kRows / kRowsAtOnce, kWeightRows = Tile::kColumns / kRowsAtOnce;
  static_assert(Tile::kRows % kRowsAtOnce == 0 && Tile::kColumns % kRowsAtOnce == 0, "whole passes");

  int64_t offset[kDataRows];       // of the window's first tap; may lie before the data
  int y[kDataRows], x[kDataRows];  // of the window's first tap in the image
  const int8_t* weight[kWeightRows];
  Tap tap;

  __device__ Loader(const LinearParams& p, int m_tile, int n_tile, int group, int step) {
    const View& v = p.view;
    const int line = threadIdx.x % kLines, row = threadIdx.x / kLines;
#pragma unroll
    for (int i = 0; i < kDataRows; ++i) {
      const int pixel = m_tile * Tile::kRows + row + i * kRowsAtOnce;
      const int out_row = pixel / p.out_w, image = out_row / p.out_h;
      y[i] = (out_row - image * p.out_h) * v.stride_h - v.pad_top;
      x[i] = (pixel - out_row * p.out_w) * v.stride_w - v.pad_left;
      offset[i] = image * v.image_pitch + y[i] * v.row_pitch + static_cast<int64_t>(x[i]) * v.pixel_pitch +
                  static_cast<int64_t>(group) * v.group_pitch;
      if (pixel >= p.pixels) y[i] = -(1 << 30);  // outside of every image
    }
#pragma unroll
    for (int i = 0; i < kWeightRows; ++i) {
      int column = n_tile * Tile::kColumns + row + i * kRowsAtOnce;
      if (column >= p.group_out) column = p.group_out - 1;  // its sums are not used
      weight[i] =
          p.weight + (static_cast<int64_t>(group) * p.group_out + column) * v.depth + step * kDepthBlock + line * kLine;
    }
    tap.start(v, step * kDepthBlock + line * kLine);
  }

  __device__ void load(const LinearParams& p, char* data, char* weights) {
    const View& v = p.view;
    const int line = threadIdx.x % kLines, row = threadIdx.x / kLines;
    const int dy = tap.y * v.dilate_h, dx = tap.x * v.dilate_w;
    const int64_t at = dy * v.row_pitch + static_cast<int64_t>(dx) * v.pixel_pitch + tap.channel;
    const bool in_depth = tap.y < v.taps_h;
#pragma unroll
    for (int i = 0; i < kDataRows; ++i) {
      const bool inside = in_depth && static_cast<unsigned>(y[i] + dy) < static_cast<unsigned>(v.in_h) &&
                          static_cast<unsigned>(x[i] + dx) < static_cast<unsigned>(v.in_w);
      char* to = data + line_offset(row + i * kRowsAtOnce, line);
      const uint8_t* from = inside ? p.data + offset[i] + at : p.pad_line;
      if (p.granule == 16) {
        copy_async<16>(to, from);
      } else if (p.granule == 8) {
        copy_async<8>(to, from);
        copy_async<8>(to + 8, tap.channel + 8 < v.run ? from + 8 : p.pad_line);
      } else {
        copy_async<4>(to, from);
#pragma unroll
        for (int b = 4; b < 16; b += 4) copy_async<4>(to + b, tap.channel + b < v.run ? from + b : p.pad_line);
      }
    }
#pragma unroll
    for (int i = 0; i < kWeightRows; ++i) {
      copy_async<16>(weights + line_offset(row + i * kRowsAtOnce, line), weight[i]);
      weight[i] += kDepthBlock;
    }
    tap.advance(v, kDepthBlock);
  }
};

// From the tile of sums in shared memory to the output, or to the partial sums of this split.
template <class Tile, int kWidth>
__device__ void finish_tile(const LinearParams& p, const int* sums, int m_tile, int n_tile, int group, int split) {
  constexpr int kAcross = Tile::kColumns / kWidth,
                kRowsAtOnce = Tile::kThreads / kAcross > 0 ? Tile::kThreads / kAcross : 1;
  for (int across = threadIdx.x % kAcross; across < kAcross; across += Tile::kThreads) {
    const int column = across * kWidth, in_group = n_tile * Tile::kColumns + column;
    if (in_group >= p.group_out) continue;
    const int channel = group * p.group_out + in_group;
    Finish<kWidth> finish;
    if (p.splits == 1) finish.load(p, channel);
    for (int row = threadIdx.x / kAcross; row < Tile::kRows; row += kRowsAtOnce) {
      const int pixel = m_tile * Tile::kRows + row;
      if (pixel >= p.pixels) break;
      int values[kWidth];
      if (kWidth % 4 == 0) {
#pragma unroll
        for (int i = 0; i < kWidth / 4; ++i) {
          const int4 four = *reinterpret_cast<const int4*>(sums + sum_offset(row, column + 4 * i, Tile::kColumns));
          values[4 * i] = four.x, values[4 * i + 1] = four.y, values[4 * i + 2] = four.z, values[4 * i + 3] = four.w;
        }
      } else {
        values[0] = sums[sum_offset(row, column, Tile::kColumns)];
      }
      if (p.splits == 1) {
        finish.store(p, values, static_cast<int64_t>(pixel) * p.out_c + channel, channel);
      } else {
        int32_t* to = p.partial + (static_cast<int64_t>(split) * p.pixels + pixel) * p.out_c + channel;
        for (int i = 0; i < kWidth; ++i) to[i] = values[i];
      }
    }
  }
}

template <class Tile, bool kUnsigned>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocksPerMultiprocessor) linear_kernel(LinearParams p) {
  MXQ_DYNAMIC_SHARED(shared);
  constexpr int kStages = Tile::kStages, kDataBytes = Tile::kRows * kDepthBlock;
  constexpr int kStageBytes = kDataBytes + Tile::kColumns * kDepthBlock;
  const int m_tile = blockIdx.x / p.n_tiles, n_tile = blockIdx.x % p.n_tiles;  // neighbours share the data
  const int group = blockIdx.y, split = blockIdx.z;
  const int first = split * p.steps_per_split;
  const int steps = p.steps - first < p.steps_per_split ? p.steps - first : p.steps_per_split;
  Loader<Tile> loader(p, m_tile, n_tile, group, first);
  typename Tile::template Sums<kUnsigned> sums;
#pragma unroll
  for (int s = 0; s < kStages - 1; ++s) {
    if (s < steps) loader.load(p, shared + s * kStageBytes, shared + s * kStageBytes + kDataBytes);
    commit_copies();
  }
  int reads = 0, writes = kStages - 1;
  for (int step = 0; step < steps; ++step) {
    wait_copies<kStages - 2>();
    __syncthreads();  // the copies of all threads are there, and nobody reads the stage that is written next
    if (step + kStages - 1 < steps) {
      loader.load(p, shared + writes * kStageBytes, shared + writes * kStageBytes + kDataBytes);
    }
    commit_copies();
    sums.add(shared + reads * kStageBytes, shared + reads * kStageBytes + kDataBytes);
    reads = reads + 1 == kStages ? 0 : reads + 1;
    writes = writes + 1 == kStages ? 0 : writes + 1;
  }
  wait_copies<0>();
  __syncthreads();
  int* const tile = reinterpret_cast<int*>(shared);
  sums.put(tile);
  __syncthreads();
  if (p.vector == 16) {
    finish_tile<Tile, 16>(p, tile, m_tile, n_tile, group, split);
  } else if (p.vector == 4) {
    finish_tile<Tile, 4>(p, tile, m_tile, n_tile, group, split);
  } else {
    finish_tile<Tile, 1>(p, tile, m_tile, n_tile, group, split);
  }
}

template <class Tile>
void launch_tile(const LinearParams& p, bool data_unsigned, int groups, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(divide_up(p.pixels, Tile::kRows) * p.n_tiles), static_cast<unsigned>(groups),
                  static_cast<unsigned>(p.splits));
  const auto kernel = data_unsigned ? linear_kernel<Tile, true> : linear_kernel<Tile, false>;
  constexpr int kShared = tile_shared_bytes<Tile>();
  // Each time, as it is a property of the kernel on the current device; it costs next to nothing.
  if (kShared > 48 << 10) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared),
          "asking for shared memory");
  }
  launch(kernel, grid, dim3(Tile::kThreads), kShared, stream, p);
}

}  // namespace cuda
}  // namespace mxq
