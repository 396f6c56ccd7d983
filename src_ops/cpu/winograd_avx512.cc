// The loops of winograd.h on AVX-512, with and without its dot products of int16 (VNNI).
#include <immintrin.h>

#include <cstdint>

#define MXQ_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define MXQ_BYTES 64
#define MXQ_UNROLL _Pragma("GCC unroll 36")

namespace mxq {
namespace winograd {
namespace {

typedef int16_t Halves __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));

// Both in place: GCC 12 moves sums to other registers and into memory.
struct Dot {
  MXQ_TARGET static inline __attribute__((always_inline)) void products(Words* sums, Halves x, Halves w) {
    asm("vpdpwssd %2, %1, %0" : "+v"(*sums) : "v"(x), "v"(w));
  }
};
struct TwoSteps {
  MXQ_TARGET static inline __attribute__((always_inline)) void products(Words* sums, Halves x, Halves w) {
    Words both;
    asm("vpmaddwd %2, %1, %0" : "=v"(both) : "v"(x), "v"(w));
    asm("vpaddd %1, %0, %0" : "+v"(*sums) : "v"(both));
  }
};

}  // namespace
}  // namespace winograd
}  // namespace mxq

#include "winograd_loops.h"

namespace mxq {
namespace winograd {
namespace {

template <class Add>
void multiply(const int16_t* image, int64_t image_stride, int64_t tiles, const int16_t* weights, int64_t pairs,
              int64_t units, uint32_t* to, int64_t to_stride) {
  switch (units) {
    case 1:
      return Groups<Add, 12, 1>::run(image, image_stride, tiles, weights, pairs, to, to_stride);
    case 2:
      return Groups<Add, 12, 2>::run(image, image_stride, tiles, weights, pairs, to, to_stride);
    case 3:
      return Groups<Add, 8, 3>::run(image, image_stride, tiles, weights, pairs, to, to_stride);
    default:
      return Groups<Add, 6, 4>::run(image, image_stride, tiles, weights, pairs, to, to_stride);
  }
}

}  // namespace

const Loops* loops_avx512(bool dot) {
  static const Loops with_dot{true, kLanes16, to_points, multiply<Dot>, from_points};
  static const Loops without{true, kLanes16, to_points, multiply<TwoSteps>, from_points};
  return dot ? &with_dot : &without;
}

}  // namespace winograd
}  // namespace mxq
