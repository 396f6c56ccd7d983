// The loops of pooling: down the rows of a window first, over long runs of bytes, then along the columns of what is
// left.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../core/qmath.h"

namespace mxq {

// dst[i] = the largest of src[r * stride + i], r < rows; rows > 0. Bytes of type `dtype`.
void max_rows(const uint8_t* src, ptrdiff_t stride, int64_t rows, uint8_t* dst, int64_t n, DType dtype);

// dst[i] = SUM src[r * stride + i], r < rows; rows >= 0. An int8 value counts as value + 128.
void sum_rows(const uint8_t* src, ptrdiff_t stride, int64_t rows, int32_t* dst, int64_t n, DType dtype);

// The windows of one row: window o covers positions begin[o] to end[o], each `channels` long.
struct PoolColumns {
  const int64_t* begin;
  const int64_t* end;
  int64_t count;
  int64_t channels;
};

void max_columns(const uint8_t* row, const PoolColumns& columns, uint8_t* dst, DType dtype);

// dst = float(sum - offset[o]) * factor[o], to 8 bits as quantize does or, where `type` is float32, as it is.
struct AverageOutput {
  const int32_t* offset;
  const float* factor;
  DType type;
  int zero_point;
};
void average_columns(const int32_t* row, const PoolColumns& columns, const AverageOutput& output, void* dst);

}  // namespace mxq
