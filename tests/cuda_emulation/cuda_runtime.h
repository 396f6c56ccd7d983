// CUDA's runtime on the processor: enough of it to compile the kernels of src_ops/cuda with g++ and run them thread by
// thread, so that their index arithmetic and synchronization are tested where there is no GPU.
//
// A block runs at a time; each of its threads is a fiber that gives way at barriers and warp-wide instructions only.
// Shared memory starts out as garbage. Asynchronous copies either happen at once or as late as the program allows
// (MXQ_EMULATED_COPIES=early|late), threads run upwards or downwards (MXQ_EMULATED_ORDER=up|down): code that lacks a
// barrier gives wrong results in one of them.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static
#define __align__(n) __attribute__((aligned(n)))

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }

using cudaError_t = int;
constexpr cudaError_t cudaSuccess = 0;
constexpr cudaError_t cudaErrorMemoryAllocation = 2;
using cudaStream_t = struct EmulatedStream*;
using cudaEvent_t = struct EmulatedEvent*;
enum cudaMemcpyKind { cudaMemcpyDeviceToDevice = 3 };
enum { cudaEventDisableTiming = 2, cudaHostAllocMapped = 2, cudaHostAllocPortable = 1 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount,
  cudaDevAttrComputeCapabilityMajor,
  cudaDevAttrComputeCapabilityMinor,
  cudaDevAttrMaxSharedMemoryPerBlockOptin
};

namespace emulation {

struct Warp;

// The thread that runs.
struct Thread {
  dim3 thread, block, block_size, grid_size;
  Warp* warp;
  unsigned lane;
  char* dynamic_shared;
};
extern Thread* now;

void barrier();
// All lanes of the warp meet here; the last one calls all(arguments of the 32 lanes).
void warp_meets(void* mine, const std::function<void(void**)>& all);
void copy_async(void* to, const void* from, int bytes);
void commit_copies();
void wait_copies(int pending);
void run(dim3 grid, dim3 block, size_t shared, const std::function<void()>& kernel);

}  // namespace emulation

#define threadIdx (emulation::now->thread)
#define blockIdx (emulation::now->block)
#define blockDim (emulation::now->block_size)
#define gridDim (emulation::now->grid_size)

inline void __syncthreads() { emulation::barrier(); }
inline void __syncwarp() {
  emulation::warp_meets(nullptr, [](void**) {});
}

template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  struct Slot {
    T value, result;
    int mask;
  } slot{value, value, mask};
  emulation::warp_meets(&slot, [](void** lanes) {
    for (int i = 0; i < 32; ++i) {
      auto* mine = static_cast<Slot*>(lanes[i]);
      if (mine) mine->result = static_cast<Slot*>(lanes[i ^ mine->mask])->value;
    }
  });
  return slot.result;
}

template <class T>
T __ldg(const T* p) {
  return *p;
}
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline int __float_as_int(float f) {
  int i;
  std::memcpy(&i, &f, 4);
  return i;
}
inline float __int_as_float(int i) {
  float f;
  std::memcpy(&f, &i, 4);
  return f;
}
inline int atomicMin(int* p, int v) {
  int old = *p;
  if (v < old) *p = v;
  return old;
}
inline int atomicMax(int* p, int v) {
  int old = *p;
  if (v > old) *p = v;
  return old;
}
inline int atomicAdd(int* p, int v) {
  int old = *p;
  *p += v;
  return old;
}
inline int atomicCAS(int* p, int compare, int v) {
  int old = *p;
  if (old == compare) *p = v;
  return old;
}
inline void __threadfence_system() {}

inline const char* cudaGetErrorString(cudaError_t) { return "emulated"; }
inline cudaError_t cudaGetDevice(int* d) {
  *d = 0;
  return cudaSuccess;
}
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
inline cudaError_t cudaMalloc(void** p, size_t n) {
  *p = std::aligned_alloc(256, (n + 255) / 256 * 256);
  if (*p) std::memset(*p, 0xCD, n);
  return *p ? cudaSuccess : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFree(void* p) {
  std::free(p);
  return cudaSuccess;
}
inline cudaError_t cudaMallocAsync(void** p, size_t n, cudaStream_t) { return cudaMalloc(p, n); }
inline cudaError_t cudaFreeAsync(void* p, cudaStream_t) { return cudaFree(p); }
inline cudaError_t cudaHostAlloc(void** p, size_t n, unsigned) { return cudaMalloc(p, n); }
inline cudaError_t cudaHostGetDevicePointer(void** d, void* h, unsigned) {
  *d = h;
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t n, cudaMemcpyKind, cudaStream_t) {
  std::memcpy(to, from, n);
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* to, int value, size_t n, cudaStream_t) {
  std::memset(to, value, n);
  return cudaSuccess;
}
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) {
  *e = nullptr;
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
inline cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
template <class F>
cudaError_t cudaFuncSetAttribute(F*, cudaFuncAttribute, int) {
  return cudaSuccess;
}
