// The arithmetic contract on the device: twins of core/qmath.h, ops/activation.h and ops/output_stage.h. Compiled with
// -fmad=false: a multiply and an add are two roundings; where one is meant, fmaf says so.
#pragma once

#include "../ops/activation.h"
#include "../ops/output_stage.h"
#include "../ops/scalars.h"
#include "device.h"

namespace mxq {
namespace cuda {

__device__ inline int round_clamp(float t, int zero_point, int lo, int hi) {
  const float r = rintf(__fadd_rn(t, static_cast<float>(zero_point)));
  if (!(r > static_cast<float>(lo))) return lo;  // also NaN
  if (r > static_cast<float>(hi)) return hi;
  return static_cast<int>(r);
}

__device__ inline float apply_scalars(const Scalars& scalars, float x) {
  for (int i = 0; i < scalars.count; ++i) {
    const float s = scalars.number[i];
    const char op = scalars.op[i];
    x = op == '-' ? __fadd_rn(x, -s) : op == '+' ? __fadd_rn(x, s) : op == '*' ? __fmul_rn(x, s) : __fdiv_rn(x, s);
  }
  return x;
}

__device__ inline bool is_finite(float x) { return __fadd_rn(x, -x) == 0.0f; }

// What a kernel needs to know of an 8-bit, int32 or float32 output.
struct Target {
  int is_float, is_int32, low, high, zero_point;
};

inline Target target_of(DType dtype, int zero_point) {
  const bool is_8bit = dtype == DType::kInt8 || dtype == DType::kUint8;
  return {dtype == DType::kFloat32, dtype == DType::kInt32, is_8bit ? qmin(dtype) : 0, is_8bit ? qmax(dtype) : 0,
          zero_point};
}

__device__ inline int quantized(const Target& to, float t) { return round_clamp(t, to.zero_point, to.low, to.high); }

__device__ inline void store(const Target& to, void* out, int64_t at, float t) {
  if (to.is_float) {
    static_cast<float*>(out)[at] = t;
  } else {
    static_cast<uint8_t*>(out)[at] = static_cast<uint8_t>(quantized(to, t));
  }
}

__device__ inline int read_8bit(const uint8_t* p, int64_t at, int is_unsigned) {
  return is_unsigned ? int{p[at]} : int{reinterpret_cast<const int8_t*>(p)[at]};
}

__device__ inline float activate(const Activation& act, float t) {
  t = t < 0.0f ? __fmul_rn(t, act.slope) : t;
  t = t > act.low ? t : act.low;
  return t < act.high ? t : act.high;
}

// The output stage of convolution and fully connected layers.
struct Stage {
  Target to;
  int act, sum;  // Act and Sum
  float act_alpha, act_beta, sum_multiplier;
  float sum_zero_point;
  int residual_unsigned, residual_float;
};

inline Stage stage_of(const OutputStage& stage, DType residual) {
  return {target_of(stage.out_type, stage.out_zero_point),
          static_cast<int>(stage.act),
          static_cast<int>(stage.sum),
          stage.act_alpha,
          stage.act_beta,
          stage.sum_multiplier,
          static_cast<float>(stage.sum_zero_point),
          residual == DType::kUint8,
          residual == DType::kFloat32};
}

__device__ inline float stage_act(const Stage& s, float slope, float t) {
  if (s.act == static_cast<int>(Act::kRelu)) return t > 0 ? t : 0;
  if (s.act == static_cast<int>(Act::kClip)) {
    const float low = t > s.act_alpha ? t : s.act_alpha;
    return low < s.act_beta ? low : s.act_beta;
  }
  return t < 0 ? __fmul_rn(t, slope) : t;
}

// `acc` is the exact sum rounded to float32; `slope` is 1 where the activation has none.
__device__ inline float stage_value(const Stage& s, float acc, float multiplier, float bias, float slope,
                                    float residual) {
  float t = __fadd_rn(__fmul_rn(acc, multiplier), bias);
  const float centred = __fadd_rn(residual, -s.sum_zero_point);
  if (s.sum == static_cast<int>(Sum::kBeforeAct)) t = __fmaf_rn(centred, s.sum_multiplier, t);
  t = stage_act(s, slope, t);
  if (s.sum == static_cast<int>(Sum::kAfterAct)) t = __fmaf_rn(centred, s.sum_multiplier, t);
  return t;
}

__device__ inline int32_t clamp_int32(int64_t value) {
  const int64_t most = 2147483647;
  return static_cast<int32_t>(value > most ? most : value < -most - 1 ? -most - 1 : value);
}

}  // namespace cuda
}  // namespace mxq
