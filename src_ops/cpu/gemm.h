// Exact integer matrix product: int16 rows times int8 columns into int32, by multiply-add of pairs (vpmaddwd). The
// 8-bit data is widened and its zero point subtracted before, so no intermediate saturates on any machine.
#pragma once

#include <cstdint>
#include <vector>

#include "isa.h"

namespace mxq {

// Columns in panels of 16: for each pair of rows k, k + 1 of the matrix, 16 x {b[k][c], b[k + 1][c]}, zero-filled.
struct GemmColumns {
  static constexpr int kPanel = 16;
  int64_t depth = 0, columns = 0;
  std::vector<int8_t> data;

  int64_t pairs() const { return (depth + 1) / 2; }
  int64_t panels() const { return (columns + kPanel - 1) / kPanel; }
  const int8_t* panel(int64_t i) const { return data.data() + i * pairs() * 2 * kPanel; }
  // Allocates zeros; set() fills them.
  void resize(int64_t new_depth, int64_t new_columns);
  void set(int64_t k, int64_t column, int8_t value) {
    data[(column / kPanel * pairs() + k / 2) * 2 * kPanel + column % kPanel * 2 + k % 2] = value;
  }
};

// acc[r][c] = SUM_k a[r][k] * panel[k][c] for 16 columns c. Row strides in elements; a rows hold 2 * pairs values.
using GemmPanel = void (*)(const int16_t* a, int64_t a_stride, int64_t rows, const int8_t* panel, int64_t pairs,
                           int32_t* acc, int64_t acc_stride);
GemmPanel gemm_panel(Isa isa);

// Rows that gemm_panel() works on at a time; a multiple of it is fastest.
int gemm_rows(Isa isa);

// to[i] = from[i] - zero_point
void widen(const uint8_t* from, int64_t n, int zero_point, int16_t* to);
void widen(const int8_t* from, int64_t n, int zero_point, int16_t* to);

}  // namespace mxq
