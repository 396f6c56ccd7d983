// The arithmetic contract, twin of mxq/arithmetic/qmath.py: both give the same integers for the same input.
//
//   real = scale * (q - zero_point)
//   q    = clamp(rint(t + zero_point)), rint to nearest even, t the value in units of the scale, all in float32
//
// Built with -ffp-contract=off: a multiply and an add are two roundings, as in numpy.
#pragma once

#include <cmath>
#include <cstdint>

#include "tensor.h"

namespace mxq {

struct QParams {
  float scale;
  int zero_point;
};

inline int qmin(DType dtype) { return dtype == DType::kUint8 ? 0 : -128; }
inline int qmax(DType dtype) { return dtype == DType::kUint8 ? 255 : 127; }

// Range of an 8-bit tensor -> scale and zero point.
//   int8:  symmetric, scale = max(|lo|, |hi|) / 127, zero point 0
//   uint8: affine over [min(lo, 0), max(hi, 0)], scale = (hi - lo) / 255, zero point = rint(-lo / scale)
// A range of width zero gets scale 1. Computed in double, scale rounded to float32 once, zero point from that float32.
QParams range_to_qparams(double lo, double hi, DType dtype);

// 1.5 * 2^23: added to a float32 of less than 2^22, it leaves the nearest integer in the low bits, half to even.
constexpr float kRoundToBits = 12582912.0f;

// t is in units of the output scale.
inline int round_clamp(float t, int zero_point, int lo, int hi) {
  float r = std::nearbyintf(t + static_cast<float>(zero_point));
  if (!(r > static_cast<float>(lo))) return lo;  // also NaN
  if (r > static_cast<float>(hi)) return hi;
  return static_cast<int>(r);
}

// float32 -> 8 bit: t = x * (1 / scale), the reciprocal rounded to float32.
inline float reciprocal(float scale) { return 1.0f / scale; }

// A value in two parts that together are finer than one step: `whole` steps, rounded down, and `rest`, in 1 /
// fine_steps of a step, from 0 to fine_steps. Both are stored with the zero point added, so that one zero point serves
// both.
struct FineParts {
  int whole, rest;
};
inline FineParts split_fine(float x, float inverse, int zero_point, int fine_steps, int lo, int hi) {
  const float t = x * inverse + static_cast<float>(zero_point);
  const float down = std::floor(t);
  const int whole = !(down > static_cast<float>(lo)) ? lo : down > static_cast<float>(hi) ? hi : static_cast<int>(down);
  const float steps = static_cast<float>(fine_steps);
  const float fine = std::nearbyintf((t - static_cast<float>(whole)) * steps);
  const int rest = zero_point + (!(fine > 0.0f) ? 0 : fine > steps ? fine_steps : static_cast<int>(fine));
  return {whole, rest < hi ? rest : hi};
}

// float32 multiplier that takes an accumulator (or an 8-bit value) of scale `from` to scale `to`.
inline float multiplier(double from, double to) { return static_cast<float>(from / to); }

}  // namespace mxq
