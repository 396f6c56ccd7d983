// Element by element from one tensor to another, where the other may have its channels on the other side: data is
// (batch, rows, columns), the output the same or (batch, columns, rows).
#pragma once

#include "device.h"

namespace mxq {
namespace cuda {

struct Planes {
  unsigned batch, rows, columns;
  int transposed;
};

constexpr int kPlaneTile = 32, kPlaneRows = 8;  // 32 x 8 threads for a tile of 32 x 32
constexpr unsigned kFewRows = 8;                // up to here a thread takes a whole column

// (N, C, spatial...) -> (N, spatial..., C), or the same elements in the same order.
inline Planes planes_of(const Shape& data, bool to_channels_last) {
  const int64_t size = num_elements(data);
  if (!to_channels_last || size == 0) return {1, 1, static_cast<unsigned>(size), 0};
  const int64_t spatial = size / (data[0] * data[1]);
  return {static_cast<unsigned>(data[0]), static_cast<unsigned>(data[1]), static_cast<unsigned>(spatial),
          data[1] > 1 && spatial > 1};
}

// (N, spatial..., C) -> (N, C, spatial...), or the same.
inline Planes planes_from_last(const Shape& data, bool to_channels_first) {
  const int64_t size = num_elements(data);
  if (!to_channels_first || size == 0) return {1, 1, static_cast<unsigned>(size), 0};
  const int64_t spatial = size / (data[0] * data.back());
  return {static_cast<unsigned>(data[0]), static_cast<unsigned>(spatial), static_cast<unsigned>(data.back()),
          data.back() > 1 && spatial > 1};
}

inline int64_t size_of(const Planes& p) { return static_cast<int64_t>(p.batch) * p.rows * p.columns; }

#if defined(__CUDACC__) || defined(MXQ_EMULATED)

// Params has `planes` and three functions: begin() prepares what a block needs for itself, value(block, from) reads
// element `from` of the data, store(block, at, value) writes element `at` of the output.
template <class Params>
__global__ void flat_kernel(const Params p) {
  constexpr unsigned kEach = 4;
  const unsigned size = p.planes.batch * p.planes.rows * p.planes.columns;
  const unsigned begin = blockIdx.x * (blockDim.x * kEach) + threadIdx.x;
  const auto block = p.begin();
#pragma unroll
  for (unsigned i = 0; i < kEach; ++i) {
    const unsigned at = begin + i * blockDim.x;
    if (at < size) p.store(block, at, p.value(block, at));
  }
}

// A thread takes a column: reads are neighbours between threads, and what a thread writes is one short run.
template <class Params>
__global__ void few_rows_kernel(const Params p) {
  const auto block = p.begin();
  const unsigned at = flat_index();
  if (at >= p.planes.batch * p.planes.columns) return;
  const unsigned n = at / p.planes.columns, column = at % p.planes.columns;
  for (unsigned row = 0; row < p.planes.rows; ++row) {
    const unsigned from = (n * p.planes.rows + row) * p.planes.columns + column;
    p.store(block, at * p.planes.rows + row, p.value(block, from));
  }
}

template <class Params>
__global__ void tile_kernel(const Params p) {
  using Value = typename Params::Value;
  __shared__ Value tile[kPlaneTile][kPlaneTile + 1];
  const auto block = p.begin();
  const unsigned across = (p.planes.columns + kPlaneTile - 1) / kPlaneTile;
  const unsigned down = (p.planes.rows + kPlaneTile - 1) / kPlaneTile;
  const unsigned n = blockIdx.x / (across * down), in_plane = blockIdx.x % (across * down);
  const unsigned row0 = in_plane / across * kPlaneTile, column0 = in_plane % across * kPlaneTile;
  const unsigned x = threadIdx.x % kPlaneTile, y0 = threadIdx.x / kPlaneTile;
  for (unsigned y = y0; y < kPlaneTile; y += kPlaneRows) {
    const unsigned row = row0 + y, column = column0 + x;
    if (row < p.planes.rows && column < p.planes.columns) {
      tile[y][x] = p.value(block, (n * p.planes.rows + row) * p.planes.columns + column);
    }
  }
  __syncthreads();
  for (unsigned y = y0; y < kPlaneTile; y += kPlaneRows) {
    const unsigned row = row0 + x, column = column0 + y;
    if (row < p.planes.rows && column < p.planes.columns) {
      p.store(block, (n * p.planes.columns + column) * p.planes.rows + row, tile[x][y]);
    }
  }
}

template <class Params>
void launch_planes(const Params& p, cudaStream_t stream) {
  const Planes& s = p.planes;
  const int64_t size = cuda::size_of(s);
  if (size == 0) return;
  if (!s.transposed) {
    launch(flat_kernel<Params>, dim3(static_cast<unsigned>(divide_up<int64_t>(size, 4 * kThreads))), dim3(kThreads), 0,
           stream, p);
  } else if (s.rows <= kFewRows) {
    launch_flat(few_rows_kernel<Params>, static_cast<int64_t>(s.batch) * s.columns, stream, p);
  } else {
    const unsigned tiles =
        s.batch * divide_up<unsigned>(s.rows, kPlaneTile) * divide_up<unsigned>(s.columns, kPlaneTile);
    launch(tile_kernel<Params>, dim3(tiles), dim3(kPlaneTile * kPlaneRows), 0, stream, p);
  }
}

#endif

}  // namespace cuda
}  // namespace mxq
