// Powers for mxq_lrn, in an order of float32 operations that every machine repeats bit for bit (a library's powf does
// not). Twin of tests/reference/lrn.py. `u` is positive and normal; what exceeds 1e37 (or is NaN) counts as that.
// Coefficients are those of least maximal error, rounded to float32.
#pragma once

#include <cstdint>
#include <cstring>

#include "../core/host_device.h"

namespace mxq {

MXQ_HOST_DEVICE inline int32_t bits_of(float value) {
  int32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

MXQ_HOST_DEVICE inline float float_of(int32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// u^(-3/4), the power that nearly all networks have. A quarter of the bits of u, taken off those of a constant, are
// those of nearly u^(-1/4): g^4 * u lies between 0.88 and 1.13, and a polynomial does the rest. Relative error below
// 2e-6.
MXQ_HOST_DEVICE inline float minus_three_quarters(float u) {
  u = u < 1e37f ? u : 1e37f;
  const float g = float_of(0x4f5851ec - (bits_of(u) >> 2)), g2 = g * g, v = u * (g2 * g2) - 1.0f;
  float p = 0.5622953176498413f;
  p = p * v + -0.6119309067726135f;
  p = p * v + 0.6563432216644287f;
  p = p * v + -0.7499600648880005f;
  p = p * v + 0.9999998211860657f;
  return g2 * g * p;
}

// u^exponent as 2^(exponent * log2(u)):
//   log2(u) = e + z * P(z),   u = 2^e * (1 + z), sqrt(1/2) <= 1 + z < sqrt(2)
//   2^y     = 2^r * (1 + f * Q(f)),   y = r + f, r the nearest integer; y is clamped to [-125, 125]
// Relative error below 2e-6 for results between 1/16 and 16.
MXQ_HOST_DEVICE inline float any_power(float u, float exponent) {
  u = u < 1e37f ? u : 1e37f;
  const int32_t e = (bits_of(u) - 0x3f3504f3) >> 23;  // 0x3f3504f3 is sqrt(1/2)
  const float z = float_of(bits_of(u) - e * (1 << 23)) - 1.0f;
  float p = 0.17063453793525696f;
  p = p * z + -0.27269798517227173f;
  p = p * z + 0.29726260900497437f;
  p = p * z + -0.3589618504047394f;
  p = p * z + 0.48046502470970154f;
  p = p * z + -0.7213758826255798f;
  p = p * z + 1.442699670791626f;
  float y = (p * z + static_cast<float>(e)) * exponent;
  y = y > -125.0f ? y : -125.0f;
  y = y < 125.0f ? y : 125.0f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer, half to even
  const float r = (y + kRound) - kRound, f = y - r;
  float q = 0.001326472731307149f;
  q = q * f + 0.009671512991189957f;
  q = q * f + 0.05550733581185341f;
  q = q * f + 0.24022242426872253f;
  q = q * f + 0.6931470036506653f;
  q = q * f + 1.0f;
  return float_of(bits_of(q) + static_cast<int32_t>(r) * (1 << 23));
}

MXQ_HOST_DEVICE inline float lrn_power(float u, float exponent) {
  return exponent == -0.75f ? minus_three_quarters(u) : any_power(u, exponent);
}

}  // namespace mxq
