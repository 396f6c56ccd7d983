#include "output_stage.h"

#include <algorithm>
#include <cstring>

#include "clones.h"
#include "parallel.h"

namespace mxq {
namespace {

constexpr int64_t kChunk = 256;  // values that stay in the first-level cache between the steps

MXQ_CLONES void scale_and_bias(const int32_t* acc, const float* multiplier, const float* bias, int64_t n, float* t) {
  for (int64_t i = 0; i < n; ++i) t[i] = static_cast<float>(acc[i]) * multiplier[i] + bias[i];
}

MXQ_CLONES void add_u8(const uint8_t* residual, int zero_point, float multiplier, int64_t n, float* t) {
  for (int64_t i = 0; i < n; ++i) t[i] = std::fma(static_cast<float>(residual[i] - zero_point), multiplier, t[i]);
}

MXQ_CLONES void add_s8(const int8_t* residual, int zero_point, float multiplier, int64_t n, float* t) {
  for (int64_t i = 0; i < n; ++i) t[i] = std::fma(static_cast<float>(residual[i] - zero_point), multiplier, t[i]);
}

MXQ_CLONES void add_f32(const float* residual, int64_t n, float* t) {
  for (int64_t i = 0; i < n; ++i) t[i] += residual[i];
}

MXQ_CLONES void clip(float low, float high, int64_t n, float* t) {
  for (int64_t i = 0; i < n; ++i) {
    const float v = t[i] > low ? t[i] : low;
    t[i] = v < high ? v : high;
  }
}

MXQ_CLONES void scale_negative(const float* slope, int64_t n, float* t) {
  for (int64_t i = 0; i < n; ++i) t[i] = t[i] < 0 ? t[i] * slope[i] : t[i];
}

// round_clamp() of core/qmath.h for whole vectors. Clamping first is the same, because the bounds are integers, and
// leaves a range where adding and subtracting 1.5 * 2^23 rounds half to even on every machine.
inline __attribute__((always_inline)) float round_in_range(float t, float zero_point, float low, float high) {
  constexpr float kRound = 12582912.0f;
  float v = t + zero_point;
  v = v > low ? v : low;  // also NaN
  v = v < high ? v : high;
  return (v + kRound) - kRound;
}

MXQ_CLONES void store_u8(const float* t, float zero_point, float low, float high, int64_t n, uint8_t* out) {
  for (int64_t i = 0; i < n; ++i) {
    out[i] = static_cast<uint8_t>(static_cast<int>(round_in_range(t[i], zero_point, low, high)));
  }
}

MXQ_CLONES void store_s8(const float* t, float zero_point, float low, float high, int64_t n, int8_t* out) {
  for (int64_t i = 0; i < n; ++i) {
    out[i] = static_cast<int8_t>(static_cast<int>(round_in_range(t[i], zero_point, low, high)));
  }
}

MXQ_CLONES void center_u8(const uint8_t* from, int zero_point, int64_t n, float* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<float>(from[i] - zero_point);
}

MXQ_CLONES void center_s8(const int8_t* from, int zero_point, int64_t n, float* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<float>(from[i] - zero_point);
}

MXQ_CLONES void add_int32(const int32_t* acc, const int32_t* bias, int64_t n, int32_t* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = clamp_int32(int64_t{acc[i]} + bias[i]);
}

void add_residual(const OutputStage& stage, const Tensor& residual, int64_t at, int64_t n, float* t) {
  if (residual.dtype() == DType::kFloat32) {
    add_f32(residual.as<const float>() + at, n, t);
  } else if (residual.dtype() == DType::kUint8) {
    add_u8(residual.as<const uint8_t>() + at, stage.sum_zero_point, stage.sum_multiplier, n, t);
  } else {
    add_s8(residual.as<const int8_t>() + at, stage.sum_zero_point, stage.sum_multiplier, n, t);
  }
}

void activate(const OutputStage& stage, const float* slope, int64_t n, float* t) {
  switch (stage.act) {
    case Act::kRelu:
      return clip(0.0f, std::numeric_limits<float>::infinity(), n, t);
    case Act::kClip:
      return clip(stage.act_alpha, stage.act_beta, n, t);
    case Act::kLeaky:
    case Act::kPrelu:
      return scale_negative(slope, n, t);
    case Act::kNone:
      return;
  }
}

void store(const OutputStage& stage, const float* t, int64_t n, const Tensor& out, int64_t at) {
  const auto zero_point = static_cast<float>(stage.out_zero_point);
  const auto low = static_cast<float>(qmin(stage.out_type)), high = static_cast<float>(qmax(stage.out_type));
  if (stage.out_type == DType::kFloat32) {
    std::memcpy(out.as<float>() + at, t, n * sizeof(float));
  } else if (stage.out_type == DType::kUint8) {
    store_u8(t, zero_point, low, high, n, out.as<uint8_t>() + at);
  } else {
    store_s8(t, zero_point, low, high, n, out.as<int8_t>() + at);
  }
}

}  // namespace

void write_stage(const OutputStage& stage, const ChannelTerms& terms, int64_t first, int64_t n, const int32_t* acc,
                 const Tensor* residual, const Tensor& out, int64_t at) {
  if (stage.out_type == DType::kInt32) {
    int32_t* to = out.as<int32_t>() + at;
    if (terms.bias_int.empty()) {
      std::memcpy(to, acc, n * sizeof(int32_t));
    } else {
      add_int32(acc, terms.bias_int.data() + first, n, to);
    }
    return;
  }
  float t[kChunk];
  for (int64_t i = 0; i < n; i += kChunk) {
    const int64_t m = std::min(kChunk, n - i), c = first + i;
    scale_and_bias(acc + i, terms.multiplier.data() + c, terms.bias.data() + c, m, t);
    if (stage.sum == Sum::kBeforeAct) add_residual(stage, *residual, at + i, m, t);
    activate(stage, terms.slope.data() + (terms.slope.empty() ? 0 : c), m, t);
    if (stage.sum == Sum::kAfterAct) add_residual(stage, *residual, at + i, m, t);
    store(stage, t, m, out, at + i);
  }
}

void activate_and_store(const OutputStage& stage, const ChannelTerms& terms, int64_t first, int64_t n, float* t,
                        const Tensor& out, int64_t at) {
  activate(stage, terms.slope.data() + (terms.slope.empty() ? 0 : first), n, t);
  store(stage, t, n, out, at);
}

ActBounds act_bounds(const OutputStage& s) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const float low = s.act == Act::kRelu ? 0.0f : s.act == Act::kClip ? s.act_alpha : -kInf;
  const float high = s.act == Act::kClip ? s.act_beta : kInf;
  auto byte = [&s](float t) {
    return static_cast<uint8_t>(round_clamp(t, s.out_zero_point, qmin(s.out_type), qmax(s.out_type)));
  };
  return {low, high, byte(low), byte(high)};
}

void prefill_residual(const Tensor& residual, int zero_point, const Tensor& out) {
  if (residual.data == out.data) return;  // a plan has put the output where the residual was
  const bool to_float = out.dtype() == DType::kFloat32, is_u8 = residual.dtype() == DType::kUint8;
  const int64_t bytes = static_cast<int64_t>(size_of(residual.dtype()) + size_of(out.dtype()));
  parallel_for(residual.size(), bytes, [&](int64_t begin, int64_t end) {
    if (residual.dtype() == DType::kFloat32) {
      std::memcpy(out.as<float>() + begin, residual.as<const float>() + begin, (end - begin) * sizeof(float));
    } else if (!to_float) {
      std::memcpy(out.as<uint8_t>() + begin, residual.as<const uint8_t>() + begin, end - begin);
    } else if (is_u8) {
      center_u8(residual.as<const uint8_t>() + begin, zero_point, end - begin, out.as<float>() + begin);
    } else {
      center_s8(residual.as<const int8_t>() + begin, zero_point, end - begin, out.as<float>() + begin);
    }
  });
}

void add_bias(const std::vector<int32_t>& bias, int64_t rows, int32_t* values) {
  const auto n = static_cast<int64_t>(bias.size());
  parallel_for(rows, 8 * n, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) add_int32(values + r * n, bias.data(), n, values + r * n);
  });
}

}  // namespace mxq
