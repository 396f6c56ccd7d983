// Fast moves and conversions of rows of bytes. A byte stands for an int8 or an uint8 value alike.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../core/qmath.h"
#include "../ops/scalars.h"

namespace mxq {

// dst[c * dst_stride + r] = src[r * src_stride + c]
void transpose_bytes(const uint8_t* src, ptrdiff_t src_stride, uint8_t* dst, ptrdiff_t dst_stride, int64_t rows,
                     int64_t cols);

// `rows` runs of n bytes, which follow each other in dst and are src_stride apart. Short ones are copied in pieces of
// one size: what that writes too much is overwritten by the next run, what it reads too much belongs to src.
void copy_runs(const uint8_t* src, ptrdiff_t src_stride, uint8_t* dst, int64_t rows, int64_t n);

// dst[i] = table[src[i]]; src and dst may be the same.
void map_bytes(const uint8_t* src, uint8_t* dst, int64_t n, const uint8_t* table);

// dst[i] = scalars(src[i])
void apply_scalars(const Scalars& scalars, const float* src, float* dst, int64_t n);

// Calls body(values, i, m) for pieces of src[0..n): values are scalars(src[i..i + m)).
template <class Body>
void with_scalars(const Scalars& scalars, const float* src, int64_t n, Body body) {
  if (scalars.count == 0) return body(src, int64_t{0}, n);
  constexpr int64_t kPiece = 512;
  float piece[kPiece];
  for (int64_t i = 0; i < n; i += kPiece) {
    const int64_t m = n - i < kPiece ? n - i : kPiece;
    apply_scalars(scalars, src + i, piece, m);
    body(static_cast<const float*>(piece), i, m);
  }
}

// dst[i] = the low byte of clamp(rint(src[i] * inverse_scale + zero_point)); NaN becomes the smallest value.
void quantize_row(const float* src, uint8_t* dst, int64_t n, float inverse_scale, const QParams& to, DType dtype);

// dst[i] = float(src[i] - zero_point) * scale
void dequantize_row(const uint8_t* src, float* dst, int64_t n, const QParams& from, DType dtype);

// Smallest and largest of n > 0 floats; false where one of them is NaN or infinite.
bool finite_range(const float* src, int64_t n, float* lo, float* hi);

}  // namespace mxq
