// The CUDA runtime as the implementations in this folder use it. Included by their .cu and .cc files only.
//
// tests/cuda_emulation has a cuda_runtime.h that runs the same kernels on the processor (MXQ_EMULATED), so that what is
// written here is tested without a GPU. Kernels therefore keep to what both know.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <string>

#include "../core/check.h"
#include "../core/op.h"

// A launch needs a compiler for CUDA; other files only see the declarations.
#if defined(__CUDACC__)
#define MXQ_DYNAMIC_SHARED(name) extern __shared__ __align__(128) char name[]
#elif defined(MXQ_EMULATED)
#define MXQ_DYNAMIC_SHARED(name) char* const name = emulation::now->dynamic_shared
#endif

namespace mxq {
namespace cuda {

inline void check(cudaError_t status, const char* what) {
  MXQ_CHECK(status == cudaSuccess, "CUDA: " << what << ": " << cudaGetErrorString(status));
}

// Of the current device, read once.
struct Chip {
  int multiprocessors;
  int capability;    // 80 for compute capability 8.0
  int shared_bytes;  // that one block can have
};
const Chip& chip();

template <class T>
constexpr T divide_up(T a, T b) {
  return (a + b - 1) / b;
}
template <class T>
constexpr T round_up(T a, T b) {
  return divide_up(a, b) * b;
}

inline cudaStream_t stream_of(const RunContext& context) { return static_cast<cudaStream_t>(context.stream); }

// Kernels count elements in 32 bits.
inline bool fits_32_bits(const std::vector<TensorType>& types, std::string* why_not) {
  for (const TensorType& type : types) {
    if (num_elements(type.shape) >= (int64_t{1} << 31)) *why_not = "a tensor has 2^31 elements or more";
  }
  return why_not->empty();
}

#if defined(__CUDACC__) || defined(MXQ_EMULATED)
// Kernels take one argument by value.
template <class Params>
void launch(void (*kernel)(Params), dim3 grid, dim3 block, size_t shared, cudaStream_t stream, const Params& params) {
#if defined(MXQ_EMULATED)
  (void)stream;
  emulation::run(grid, block, shared, [&] { kernel(params); });
#else
  void* arguments[] = {const_cast<Params*>(&params)};
  check(cudaLaunchKernel(kernel, grid, block, arguments, shared, stream), "launching a kernel");
#endif
}

constexpr int kThreads = 256;

// A thread for each of n elements.
template <class Params>
void launch_flat(void (*kernel)(Params), int64_t n, cudaStream_t stream, const Params& params) {
  if (n > 0)
    launch(kernel, dim3(static_cast<unsigned>(divide_up<int64_t>(n, kThreads))), dim3(kThreads), 0, stream, params);
}

__device__ inline unsigned flat_index() { return blockIdx.x * blockDim.x + threadIdx.x; }
#endif

}  // namespace cuda
}  // namespace mxq
