// The loops of winograd.h for any width of vectors. Whoever includes this has defined
//   MXQ_TARGET    the attribute of functions that names the instructions
//   MXQ_BYTES     of a vector
//   MXQ_UNROLL    a loop of constant length is written out
// and, in mxq::winograd, products(): sums of neighbouring products of int16.
#include <algorithm>
#include <cstring>

#include "winograd.h"

namespace mxq {
namespace winograd {
namespace {

#define MXQ_INLINE MXQ_TARGET inline __attribute__((always_inline))

constexpr int kLanes16 = MXQ_BYTES / 2, kLanes32 = MXQ_BYTES / 4;
constexpr int kVectorsOfUnit = kUnit / kLanes32;

typedef uint8_t Bytes __attribute__((vector_size(MXQ_BYTES / 2), aligned(1)));
typedef int8_t SignedBytes __attribute__((vector_size(MXQ_BYTES / 2), aligned(1)));

// B^T of six values, `step` apart, in their place.
MXQ_INLINE void image_transform(Halves* d, int step) {
  const Halves d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
  const Halves even = d4 - (d2 << 2), odd = d3 - (d1 << 2), even2 = d4 - d2, odd2 = (d3 - d1) << 1;
  d[0] = ((d0 - d2) << 2) + even2;
  d[step] = even + odd;
  d[2 * step] = even - odd;
  d[3 * step] = even2 + odd2;
  d[4 * step] = even2 - odd2;
  d[5 * step] = ((d1 - d3) << 2) + (d5 - d3);
}

template <bool kInt8>
MXQ_INLINE Halves widened(const uint8_t* from) {
  if (kInt8) return __builtin_convertvector(*reinterpret_cast<const SignedBytes*>(from), Halves);
  return __builtin_convertvector(*reinterpret_cast<const Bytes*>(from), Halves);
}

// Channels of all pixels from `at` on; zero_point: of each value.
template <bool kInt8>
MXQ_INLINE void vector_to_points(const uint8_t* const* pixels, int64_t at, Halves zero_point, int16_t* to,
                                 int64_t stride) {
  Halves d[kPoints];
  MXQ_UNROLL for (int j = 0; j < kInputs; ++j) {
    MXQ_UNROLL for (int i = 0; i < kInputs; ++i) {
      const int p = i * kInputs + j;
      d[p] = widened<kInt8>(pixels[p] + at) - zero_point;
    }
    image_transform(d + j, kInputs);
  }
  MXQ_UNROLL for (int i = 0; i < kInputs; ++i) {
    image_transform(d + i * kInputs, 1);
    MXQ_UNROLL for (int j = 0; j < kInputs; ++j) {
      const int p = i * kInputs + j;
      *reinterpret_cast<Halves*>(to + p * stride + at) = d[p];
    }
  }
}

template <bool kInt8>
MXQ_INLINE void all_to_points(const uint8_t* const* pixels, int zero_point, int64_t channels, int16_t* to,
                              int64_t stride) {
  const Halves zero = Halves{} + static_cast<int16_t>(zero_point);
  int64_t at = 0;
  for (; at + kLanes16 <= channels; at += kLanes16) vector_to_points<kInt8>(pixels, at, zero, to, stride);
  if (at == channels) return;
  uint8_t rest[kPoints][kLanes16] = {};  // nothing is read behind a pixel
  const uint8_t* of_rest[kPoints];
  for (int p = 0; p < kPoints; ++p) {
    std::memcpy(rest[p], pixels[p] + at, channels - at);
    of_rest[p] = rest[p];
  }
  vector_to_points<kInt8>(of_rest, 0, zero, to + at, stride);
}

MXQ_TARGET void to_points(const uint8_t* const* pixels, bool is_int8, int zero_point, int64_t channels, int16_t* to,
                          int64_t stride) {
  if (is_int8) {
    all_to_points<true>(pixels, zero_point, channels, to, stride);
  } else {
    all_to_points<false>(pixels, zero_point, channels, to, stride);
  }
}

template <class Add, int kTiles, int kUnits>
MXQ_TARGET void multiply_tiles(const int16_t* image, int64_t image_stride, const int16_t* weights, int64_t pairs,
                               uint32_t* to, int64_t to_stride) {
  constexpr int kVectors = kUnits * kVectorsOfUnit;
  Words sums[kTiles][kVectors];
  MXQ_UNROLL for (int t = 0; t < kTiles; ++t) { MXQ_UNROLL for (int v = 0; v < kVectors; ++v) sums[t][v] = Words{}; }
  for (int64_t pair = 0; pair < pairs; ++pair, weights += kUnits * 2 * kUnit) {
    Halves w[kVectors];
    MXQ_UNROLL for (int v = 0; v < kVectors; ++v) {
      w[v] = *reinterpret_cast<const Halves*>(weights + v * kLanes16);
      asm("" : "+v"(w[v]));  // GCC 12 would load them again for every tile
    }
    MXQ_UNROLL for (int t = 0; t < kTiles; ++t) {
      uint32_t two;
      std::memcpy(&two, image + t * image_stride + 2 * pair, sizeof(two));
      const Words x = Words{} + two;
      MXQ_UNROLL for (int v = 0; v < kVectors; ++v) Add::products(&sums[t][v], (Halves)x, w[v]);
    }
  }
  MXQ_UNROLL for (int t = 0; t < kTiles; ++t) {
    MXQ_UNROLL for (int v = 0; v < kVectors; ++v) {
      *reinterpret_cast<Words*>(to + t * to_stride + v * kLanes32) = sums[t][v];
    }
  }
}

// Full groups of kTiles, then one smaller group for the rest.
template <class Add, int kTiles, int kUnits>
struct Groups {
  static void rest(const int16_t* image, int64_t image_stride, int64_t tiles, const int16_t* weights, int64_t pairs,
                   uint32_t* to, int64_t to_stride) {
    if (tiles == kTiles) {
      multiply_tiles<Add, kTiles, kUnits>(image, image_stride, weights, pairs, to, to_stride);
    } else if constexpr (kTiles > 1) {
      Groups<Add, kTiles - 1, kUnits>::rest(image, image_stride, tiles, weights, pairs, to, to_stride);
    }
  }
  static void run(const int16_t* image, int64_t image_stride, int64_t tiles, const int16_t* weights, int64_t pairs,
                  uint32_t* to, int64_t to_stride) {
    for (; tiles >= kTiles; tiles -= kTiles, image += kTiles * image_stride, to += kTiles * to_stride) {
      multiply_tiles<Add, kTiles, kUnits>(image, image_stride, weights, pairs, to, to_stride);
    }
    if (tiles > 0) rest(image, image_stride, tiles, weights, pairs, to, to_stride);
  }
};

// A^T of six values, `step` apart.
MXQ_INLINE void sum_transform(const Words* m, int step, Words* to, int to_step) {
  const Words sum1 = (m[step] + m[2 * step]) << 2, difference1 = (m[step] - m[2 * step]) << 2;
  const Words sum2 = m[3 * step] + m[4 * step], difference2 = m[3 * step] - m[4 * step];
  const Words first = (m[0] << 2) + (m[0] << 1), last = (m[5 * step] << 4) + (m[5 * step] << 3);
  to[0] = first + sum1 + sum2;
  to[to_step] = difference1 + (difference2 << 1);
  to[2 * to_step] = sum1 + (sum2 << 2);
  to[3 * to_step] = difference1 + (difference2 << 3) + last;
}

MXQ_TARGET void from_points(const uint32_t* points, int64_t stride, int64_t units, int32_t* sums) {
  constexpr uint32_t kInverseOf9 = 954437177;  // modulo 2^32
  typedef int32_t Signed __attribute__((vector_size(MXQ_BYTES)));
  const int64_t width = units * kUnit;
  for (int64_t at = 0; at < width; at += kLanes32) {
    Words half[kOutputs * kInputs];
    MXQ_UNROLL for (int j = 0; j < kInputs; ++j) {
      Words column[kInputs];
      MXQ_UNROLL for (int i = 0; i < kInputs; ++i) {
        column[i] = *reinterpret_cast<const Words*>(points + (i * kInputs + j) * stride + at);
      }
      sum_transform(column, 1, half + j, kInputs);
    }
    MXQ_UNROLL for (int i = 0; i < kOutputs; ++i) {
      Words row[kOutputs];
      sum_transform(half + i * kInputs, 1, row, 1);
      MXQ_UNROLL for (int j = 0; j < kOutputs; ++j) {
        *reinterpret_cast<Signed*>(sums + (i * kOutputs + j) * width + at) = (Signed)(row[j] * kInverseOf9) >> 6;
      }
    }
  }
}

}  // namespace
}  // namespace winograd
}  // namespace mxq
