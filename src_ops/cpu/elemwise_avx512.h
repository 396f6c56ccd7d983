#pragma once

#include <cstdint>

#include "../core/qmath.h"
#include "../ops/activation.h"

namespace mxq {

// What an elementwise loop knows of one of its inputs. Bytes of both types are read as uint8: an int8 with its top bit
// flipped is the value plus 128, and `zero_point` is 128 more there.
struct Operand {
  uint8_t flip;
  int zero_point;
  float multiplier;
};

struct ElemwiseTerms {
  Operand a, b;
  Activation act;
  DType out_type;
  int zero_point;
};

using ElemwiseLoop = void (*)(const uint8_t* a, const uint8_t* b, void* dst, int64_t n, const ElemwiseTerms& terms);

// A loop for AVX-512 (F, BW, DQ, VL) and 8-bit outputs, or null where the values could leave int32 before they are
// clamped. With `repeat_b`, b is one value for all of a.
ElemwiseLoop elemwise_avx512(bool mul, bool repeat_b, const ElemwiseTerms& terms);

}  // namespace mxq
