// The loops of winograd.h on AVX2.
#include <immintrin.h>

#include <cstdint>

#define MXQ_TARGET __attribute__((target("avx2")))
#define MXQ_BYTES 32
#define MXQ_UNROLL _Pragma("GCC unroll 36")

namespace mxq {
namespace winograd {
namespace {

typedef int16_t Halves __attribute__((vector_size(32)));
typedef uint32_t Words __attribute__((vector_size(32)));

struct TwoSteps {
  MXQ_TARGET static inline __attribute__((always_inline)) void products(Words* sums, Halves x, Halves w) {
    *sums += (Words)_mm256_madd_epi16((__m256i)x, (__m256i)w);
  }
};

}  // namespace
}  // namespace winograd
}  // namespace mxq

#include "winograd_loops.h"

namespace mxq {
namespace winograd {
namespace {

void multiply(const int16_t* image, int64_t image_stride, int64_t tiles, const int16_t* weights, int64_t pairs, int64_t,
              uint32_t* to, int64_t to_stride) {
  Groups<TwoSteps, 6, 1>::run(image, image_stride, tiles, weights, pairs, to, to_stride);
}

}  // namespace

const Loops* loops_avx2() {
  static const Loops all{false, kLanes16, to_points, multiply, from_points};
  return &all;
}

}  // namespace winograd
}  // namespace mxq
