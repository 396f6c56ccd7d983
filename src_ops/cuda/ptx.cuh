// Instructions that CUDA C++ has no name for: asynchronous copies, tensor-core products, dot products of mixed signs.
#pragma once

#include "device.h"

namespace mxq {
namespace cuda {

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define MXQ_HAS_MMA 1
#elif defined(MXQ_EMULATED)
#define MXQ_HAS_MMA 1
#else
#define MXQ_HAS_MMA 0
#endif

// Copies 4, 8 or 16 bytes from global to shared memory, both aligned to as much. Before compute capability 8.0 at once.
template <int kBytes>
__device__ inline void copy_async(void* shared, const void* global) {
#if defined(MXQ_EMULATED)
  if (reinterpret_cast<uintptr_t>(shared) % kBytes || reinterpret_cast<uintptr_t>(global) % kBytes) std::abort();
  emulation::copy_async(shared, global, kBytes);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  if (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
  } else if (kBytes == 8) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"(to), "l"(global) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(global) : "memory");
  }
#else
  if (kBytes == 16) {
    *static_cast<uint4*>(shared) = *static_cast<const uint4*>(global);
  } else if (kBytes == 8) {
    *static_cast<uint2*>(shared) = *static_cast<const uint2*>(global);
  } else {
    *static_cast<unsigned*>(shared) = *static_cast<const unsigned*>(global);
  }
#endif
}

__device__ inline void commit_copies() {
#if defined(MXQ_EMULATED)
  emulation::commit_copies();
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Until no more than kPending of this thread's groups are under way.
template <int kPending>
__device__ inline void wait_copies() {
#if defined(MXQ_EMULATED)
  emulation::wait_copies(kPending);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

// a . b of four bytes each, plus c. b is signed; a as the template says.
template <bool kUnsigned>
__device__ inline int dot4(uint32_t a, uint32_t b, int c) {
#if defined(MXQ_EMULATED)
  for (int i = 0; i < 4; ++i) {
    const int x = kUnsigned ? int{static_cast<uint8_t>(a >> 8 * i)} : int{static_cast<int8_t>(a >> 8 * i)};
    c = static_cast<int>(static_cast<unsigned>(c) + static_cast<unsigned>(x * static_cast<int8_t>(b >> 8 * i)));
  }
  return c;
#elif defined(__CUDA_ARCH__)
  int d;
  if (kUnsigned) {
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  } else {
    asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  }
  return d;
#else
  return c;
#endif
}

#if MXQ_HAS_MMA

// Four 8x8 matrices of 16-bit items, that is rows of 16 bytes: lane l gives the address of row l % 8 of matrix l / 8,
// and gets bytes 4 * (l % 4) ... of row l / 4 of each matrix.
__device__ inline void load_matrices(uint32_t out[4], const void* row) {
#if defined(MXQ_EMULATED)
  struct Slot {
    const char* row;
    uint32_t* out;
  } slot{static_cast<const char*>(row), out};
  if (reinterpret_cast<uintptr_t>(row) % 16) std::abort();
  emulation::warp_meets(&slot, [](void** lanes) {
    for (int lane = 0; lane < 32; ++lane) {
      for (int i = 0; i < 4; ++i) {
        const char* from = static_cast<Slot*>(lanes[8 * i + lane / 4])->row;
        std::memcpy(&static_cast<Slot*>(lanes[lane])->out[i], from + lane % 4 * 4, 4);
      }
    }
  });
#else
  const unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(from)
               : "memory");
#endif
}

// c (16 x 8, int32) += a (16 x 32 bytes) * b (32 x 8 bytes, signed), over the lanes of a warp. With g = lane / 4 and
// t = lane % 4:
//   a[0] row g,     bytes 4t...       a[1] row g + 8, bytes 4t...       a[2], a[3] the same rows, bytes 16 + 4t...
//   b[0] column g,  bytes 4t...       b[1] column g,  bytes 16 + 4t...
//   c[0], c[1] row g, columns 2t, 2t + 1                                c[2], c[3] row g + 8, the same columns
template <bool kUnsigned>
__device__ inline void multiply_add(int c[4], const uint32_t a[4], const uint32_t b[2]) {
#if defined(MXQ_EMULATED)
  struct Slot {
    int* c;
    const uint32_t *a, *b;
  } slot{c, a, b};
  emulation::warp_meets(&slot, [](void** lanes) {
    int rows[16][32], columns[8][32];
    for (int lane = 0; lane < 32; ++lane) {
      const auto* s = static_cast<Slot*>(lanes[lane]);
      const int g = lane / 4, t = lane % 4;
      for (int i = 0; i < 4; ++i) {
        for (int k = 0; k < 4; ++k) {
          const uint8_t byte = static_cast<uint8_t>(s->a[i] >> 8 * k);
          rows[g + i % 2 * 8][i / 2 * 16 + 4 * t + k] = kUnsigned ? int{byte} : int{static_cast<int8_t>(byte)};
        }
      }
      for (int i = 0; i < 2; ++i) {
        for (int k = 0; k < 4; ++k) columns[g][i * 16 + 4 * t + k] = static_cast<int8_t>(s->b[i] >> 8 * k);
      }
    }
    for (int lane = 0; lane < 32; ++lane) {
      for (int i = 0; i < 4; ++i) {
        const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        unsigned sum = 0;
        for (int k = 0; k < 32; ++k) sum += static_cast<unsigned>(rows[row][k] * columns[column][k]);
        int* to = static_cast<Slot*>(lanes[lane])->c + i;
        *to = static_cast<int>(static_cast<unsigned>(*to) + sum);
      }
    }
  });
#else
  if (kUnsigned) {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
        "%3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
        "%3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
#endif
}

#endif  // MXQ_HAS_MMA

}  // namespace cuda
}  // namespace mxq
