#include "pool_rows.h"

#include <algorithm>
#include <cstring>

#include "clones.h"

namespace mxq {
namespace {

#define MXQ_INLINE __attribute__((always_inline)) inline

template <class T>
MXQ_INLINE T larger(T a, T b) {
  return a > b ? a : b;
}

// Four rows at a time, so that the result is loaded and stored less often.
template <class T>
MXQ_INLINE void max_rows_loop(const T* src, ptrdiff_t stride, int64_t rows, T* __restrict dst, int64_t n) {
  int64_t r = 1;
  if (rows == 1) {
    std::memcpy(dst, src, n);
  } else if (rows == 2) {
    for (int64_t i = 0; i < n; ++i) dst[i] = larger(src[i], src[stride + i]);
    r = 2;
  } else {
    for (int64_t i = 0; i < n; ++i) dst[i] = larger(larger(src[i], src[stride + i]), src[2 * stride + i]);
    r = 3;
  }
  for (; r + 4 <= rows; r += 4) {
    const T* s = src + r * stride;
    for (int64_t i = 0; i < n; ++i) {
      dst[i] = larger(dst[i], larger(larger(s[i], s[stride + i]), larger(s[2 * stride + i], s[3 * stride + i])));
    }
  }
  for (; r < rows; ++r) {
    const T* s = src + r * stride;
    for (int64_t i = 0; i < n; ++i) dst[i] = larger(dst[i], s[i]);
  }
}

MXQ_CLONES void max_rows_i8(const int8_t* src, ptrdiff_t stride, int64_t rows, int8_t* dst, int64_t n) {
  max_rows_loop(src, stride, rows, dst, n);
}
MXQ_CLONES void max_rows_u8(const uint8_t* src, ptrdiff_t stride, int64_t rows, uint8_t* dst, int64_t n) {
  max_rows_loop(src, stride, rows, dst, n);
}

template <class T>
MXQ_INLINE void max_columns_loop(const T* row, const PoolColumns& columns, T* __restrict dst, T least) {
  const int64_t channels = columns.channels;
  for (int64_t o = 0; o < columns.count; ++o, dst += channels) {
    const T* s = row + columns.begin[o] * channels;
    const int64_t width = columns.end[o] - columns.begin[o];
    if (width <= 0) {
      std::memset(dst, least, channels);
    } else {
      max_rows_loop(s, channels, width, dst, channels);
    }
  }
}

MXQ_CLONES void max_columns_i8(const int8_t* row, const PoolColumns& columns, int8_t* dst) {
  max_columns_loop(row, columns, dst, static_cast<int8_t>(qmin(DType::kInt8)));
}
MXQ_CLONES void max_columns_u8(const uint8_t* row, const PoolColumns& columns, uint8_t* dst) {
  max_columns_loop(row, columns, dst, static_cast<uint8_t>(qmin(DType::kUint8)));
}

constexpr int64_t kTile = 512;        // 16-bit sums that stay in the first-level cache
constexpr int64_t kRowsPerSum = 256;  // times 255 this still fits 16 bits

// Sums of 16 bits, as long as they fit: twice as many at a time as of 32.
MXQ_INLINE uint16_t sum4(const uint8_t* s, ptrdiff_t stride, uint8_t flip) {
  return static_cast<uint16_t>((s[0] ^ flip) + (s[stride] ^ flip) + (s[2 * stride] ^ flip) + (s[3 * stride] ^ flip));
}

MXQ_CLONES void sum_rows_loop(const uint8_t* src, ptrdiff_t stride, int64_t rows, int32_t* __restrict dst, int64_t n,
                              uint8_t flip) {
  if (rows == 3) {
    for (int64_t i = 0; i < n; ++i) {
      const uint16_t sum =
          static_cast<uint16_t>((src[i] ^ flip) + (src[stride + i] ^ flip) + (src[2 * stride + i] ^ flip));
      dst[i] = sum;
    }
    return;
  }
  if (rows == 2) {
    for (int64_t i = 0; i < n; ++i) {
      const uint16_t sum = static_cast<uint16_t>((src[i] ^ flip) + (src[stride + i] ^ flip));
      dst[i] = sum;
    }
    return;
  }
  uint16_t sums[kTile];
  for (int64_t at = 0; at < n; at += kTile) {
    const int64_t width = std::min(kTile, n - at);
    std::memset(dst + at, 0, width * sizeof(*dst));
    for (int64_t top = 0; top < rows; top += kRowsPerSum) {
      const int64_t bottom = std::min(rows, top + kRowsPerSum);
      std::memset(sums, 0, sizeof(sums));
      int64_t r = top;
      for (; r + 4 <= bottom; r += 4) {
        const uint8_t* s = src + r * stride + at;
        for (int64_t i = 0; i < width; ++i) sums[i] = static_cast<uint16_t>(sums[i] + sum4(s + i, stride, flip));
      }
      for (; r < bottom; ++r) {
        const uint8_t* s = src + r * stride + at;
        for (int64_t i = 0; i < width; ++i) sums[i] = static_cast<uint16_t>(sums[i] + (s[i] ^ flip));
      }
      for (int64_t i = 0; i < width; ++i) dst[at + i] += sums[i];
    }
  }
}

// Adding this to a float of small absolute value leaves its nearest integer (half to even) in the low mantissa bits.
constexpr float kRoundToBits = 12582912.0f;  // 1.5 * 2^23

struct Finish {
  float factor, zero_point, lo, hi;

  template <class Out>
  MXQ_INLINE Out apply(int32_t sum) const {
    float t = static_cast<float>(sum) * factor;
    if (sizeof(Out) == sizeof(float)) return static_cast<Out>(t);
    t = t + zero_point;
    // Clamping before rounding gives the same as after, as both ends are integers.
    t = t > lo ? t : lo;
    t = t < hi ? t : hi;
    const float shifted = t + kRoundToBits;
    int32_t bits;
    std::memcpy(&bits, &shifted, sizeof(bits));
    return static_cast<Out>(bits);
  }
};

template <class Out>
MXQ_INLINE void average_columns_loop(const int32_t* row, const PoolColumns& columns, const AverageOutput& output,
                                     Out* __restrict dst) {
  constexpr int64_t kBlock = 256;
  int32_t sums[kBlock];
  const int64_t channels = columns.channels;
  for (int64_t o = 0; o < columns.count; ++o, dst += channels) {
    const int32_t offset = output.offset[o];
    const Finish finish{output.factor[o], static_cast<float>(output.zero_point), static_cast<float>(qmin(output.type)),
                        static_cast<float>(qmax(output.type))};
    const int64_t width = columns.end[o] - columns.begin[o];
    const int32_t* s = row + columns.begin[o] * channels;
    if (width == 1) {
      for (int64_t i = 0; i < channels; ++i) dst[i] = finish.apply<Out>(s[i] - offset);
    } else if (width == 2) {
      for (int64_t i = 0; i < channels; ++i) dst[i] = finish.apply<Out>(s[i] + s[channels + i] - offset);
    } else if (width == 3) {
      for (int64_t i = 0; i < channels; ++i) {
        dst[i] = finish.apply<Out>(s[i] + s[channels + i] + s[2 * channels + i] - offset);
      }
    } else {
      for (int64_t c = 0; c < channels; c += kBlock) {
        const int64_t part = std::min(kBlock, channels - c);
        for (int64_t i = 0; i < part; ++i) sums[i] = -offset;
        for (int64_t w = 0; w < width; ++w) {
          for (int64_t i = 0; i < part; ++i) sums[i] += s[w * channels + c + i];
        }
        for (int64_t i = 0; i < part; ++i) dst[c + i] = finish.apply<Out>(sums[i]);
      }
    }
  }
}

MXQ_CLONES void average_columns_bytes(const int32_t* row, const PoolColumns& columns, const AverageOutput& output,
                                      uint8_t* dst) {
  average_columns_loop(row, columns, output, dst);
}
MXQ_CLONES void average_columns_floats(const int32_t* row, const PoolColumns& columns, const AverageOutput& output,
                                       float* dst) {
  average_columns_loop(row, columns, output, dst);
}

}  // namespace

void max_rows(const uint8_t* src, ptrdiff_t stride, int64_t rows, uint8_t* dst, int64_t n, DType dtype) {
  if (dtype == DType::kInt8) {
    max_rows_i8(reinterpret_cast<const int8_t*>(src), stride, rows, reinterpret_cast<int8_t*>(dst), n);
  } else {
    max_rows_u8(src, stride, rows, dst, n);
  }
}

void max_columns(const uint8_t* row, const PoolColumns& columns, uint8_t* dst, DType dtype) {
  if (dtype == DType::kInt8) {
    max_columns_i8(reinterpret_cast<const int8_t*>(row), columns, reinterpret_cast<int8_t*>(dst));
  } else {
    max_columns_u8(row, columns, dst);
  }
}

void sum_rows(const uint8_t* src, ptrdiff_t stride, int64_t rows, int32_t* dst, int64_t n, DType dtype) {
  sum_rows_loop(src, stride, rows, dst, n, dtype == DType::kInt8 ? 128 : 0);
}

void average_columns(const int32_t* row, const PoolColumns& columns, const AverageOutput& output, void* dst) {
  if (output.type == DType::kFloat32) {
    average_columns_floats(row, columns, output, static_cast<float*>(dst));
  } else {
    average_columns_bytes(row, columns, output, static_cast<uint8_t*>(dst));
  }
}

}  // namespace mxq
