// Fast moves and conversions of rows of bytes. A byte stands for an int8 or an uint8 value alike.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../core/qmath.h"

namespace mxq {

// dst[c * dst_stride + r] = src[r * src_stride + c]
void transpose_bytes(const uint8_t* src, ptrdiff_t src_stride, uint8_t* dst, ptrdiff_t dst_stride, int64_t rows,
                     int64_t cols);

// dst[i] = table[src[i]]; src and dst may be the same.
void map_bytes(const uint8_t* src, uint8_t* dst, int64_t n, const uint8_t* table);

// dst[i] = the low byte of clamp(rint(src[i] * inverse_scale + zero_point)); NaN becomes the smallest value.
void quantize_row(const float* src, uint8_t* dst, int64_t n, float inverse_scale, const QParams& to, DType dtype);

// dst[i] = float(src[i] - zero_point) * scale
void dequantize_row(const uint8_t* src, float* dst, int64_t n, const QParams& from, DType dtype);

// Smallest and largest of n > 0 floats; false where one of them is NaN or infinite.
bool finite_range(const float* src, int64_t n, float* lo, float* hi);

}  // namespace mxq
