// Sizes come from files, so that no product of them is taken on trust.
#pragma once

#include <cstdint>
#include <limits>

#include "check.h"
#include "tensor.h"

namespace mxq {

// Elements of a tensor, at most: far more than memory, and so few that sums of such sizes with attributes, and products
// with item sizes and the factors that operators limit to 2^16, stay in 64 bits.
constexpr int64_t kMaxElements = int64_t{1} << 40;

// The product of two sizes; -1 (unknown) where one of them is. Throws where it is more than a tensor may have.
inline int64_t size_product(int64_t a, int64_t b) {
  if (a < 0 || b < 0) return -1;
  int64_t n = 0;
  MXQ_CHECK(!__builtin_mul_overflow(a, b, &n) && n <= kMaxElements,
            "a tensor with " << a << " times " << b << " elements is larger than the largest accepted, 2^40");
  return n;
}

// The product for estimates of work, which may be as large as it likes.
inline int64_t saturated_product(int64_t a, int64_t b) {
  int64_t n = 0;
  return __builtin_mul_overflow(a, b, &n) ? std::numeric_limits<int64_t>::max() : n;
}

// Throws where the known dimensions alone give more elements than a tensor may have, or where one of them is neither a
// size nor unknown.
void check_shape(const Shape& shape);

}  // namespace mxq
