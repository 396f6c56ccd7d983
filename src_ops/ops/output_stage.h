// From the exact int32 accumulator of a convolution or fully connected layer to its output: the attributes that say
// how, and the order of the float32 operations. Twin of tests/reference/output_stage.py.
//
// A residual may be float32 where the output is: it is then the real value, added as it is.
//
//   out_type int32:   acc + bias, clamped to int32
//   else, with r[c] = in_scale * weight_scale[c] / out_scale and m = sum_scale / out_scale in double:
//     t = fl(fl(acc) * fl(r[c]))
//     t = fl(t + fl(bias[c] * r[c]))
//     before_act:  t = fma(fl(residual - sum_zero_point), fl(m), t)      one rounding
//     act:         relu   max(t, 0)
//                  clip   min(max(t, fl(act_alpha / out_scale)), fl(act_beta / out_scale))
//                  leaky  t < 0 ? fl(t * act_alpha) : t
//                  prelu  t < 0 ? fl(t * slope[c]) : t
//     after_act:   t = fma(fl(residual - sum_zero_point), fl(m), t)
//     8 bit:       clamp(rint(fl(t + out_zero_point)))
//     float32:     t
//
// This is the order of oneDNN 3.2's int8 kernels (brgemm and jit, AVX-512 VNNI, AVX-VNNI and AMX): they multiply, then
// add the bias as a second rounding, but fuse the residual's multiply and add.
#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "../core/attrs.h"
#include "../core/digest.h"
#include "../core/op.h"
#include "../core/qmath.h"

namespace mxq {

enum class Act { kNone, kRelu, kClip, kLeaky, kPrelu };
enum class Sum { kNone, kBeforeAct, kAfterAct };

struct OutputStage {
  DType out_type = DType::kInt8;
  float in_scale = 1;
  int in_zero_point = 0;
  float out_scale = 1;
  int out_zero_point = 0;
  Act act = Act::kNone;
  float act_alpha = 0;  // clip: lower bound in units of the output; leaky: slope
  float act_beta = 0;   // clip: upper bound in units of the output
  Sum sum = Sum::kNone;
  float sum_multiplier = 1;
  int sum_zero_point = 0;
  bool no_bias = false;
  std::string content_id;
  bool has_digest = false;
  Digest digest{};  // of the bytes of all parameters, one after the other

  int num_inputs() const { return num_params() + (sum == Sum::kNone ? 0 : 1); }
  int bias_index() const { return no_bias ? -1 : 3; }
  int slope_index() const { return act == Act::kPrelu ? num_params() - 1 : -1; }
  int residual_index() const { return sum == Sum::kNone ? -1 : num_params(); }
  bool is_param(int index) const { return index >= 1 && index < num_params(); }
  bool has_slope() const { return act == Act::kLeaky || act == Act::kPrelu; }

 private:
  int num_params() const { return 3 + (no_bias ? 0 : 1) + (act == Act::kPrelu ? 1 : 0); }  // with the data before them
};

// The parameters of one call. `bias` and `slope` are null where the stage has none, `digest` where it does not say.
struct LayerParams {
  const Tensor* weight;
  const Tensor* weight_scale;
  const Tensor* bias;
  const Tensor* slope;
  const Digest* digest;
};
LayerParams layer_params(const OutputStage& stage, const std::vector<Tensor>& in);

OutputStage parse_output_stage(const Attrs& attrs);

// Types and shapes of everything but the data and the weight's own shape, shared by both operators.
void infer_stage_types(const OutputStage& stage, std::vector<DType>* in, std::vector<DType>* out);
void infer_stage_shapes(const OutputStage& stage, int64_t channels, const Shape& out_shape, std::vector<Shape>* in);
// Writes `want` where `*shape` is unknown; throws Error naming `what` where they differ.
void unify_shape(const char* what, const Shape& want, Shape* shape);

// What a layer's scales and bias become. Depends on parameters only, so it is derived once and kept with the weights.
struct ChannelTerms {
  std::vector<float> multiplier;  // fl(r[c])
  std::vector<float> bias;        // fl(bias[c] * r[c]); zeros without bias
  std::vector<float> slope;       // of negative values; empty where the activation has none
  std::vector<int32_t> bias_int;  // for int32 output; empty without bias
};
ChannelTerms derive_channel_terms(const OutputStage& stage, const LayerParams& params);

inline float apply_act(const OutputStage& stage, float slope, float t) {
  switch (stage.act) {
    case Act::kRelu:
      return t > 0 ? t : 0;
    case Act::kClip: {
      float low = t > stage.act_alpha ? t : stage.act_alpha;
      return low < stage.act_beta ? low : stage.act_beta;
    }
    case Act::kLeaky:
    case Act::kPrelu:
      return t < 0 ? t * slope : t;
    case Act::kNone:
      break;
  }
  return t;
}

// Channel `c`. `acc` may be an int64 of the reference: both convert to float32 with one rounding.
template <class Acc>
float stage_value(const OutputStage& stage, const ChannelTerms& terms, int64_t c, Acc acc, float residual) {
  float t = static_cast<float>(acc) * terms.multiplier[c];
  t = t + terms.bias[c];
  const float centred = residual - static_cast<float>(stage.sum_zero_point);
  if (stage.sum == Sum::kBeforeAct) t = std::fma(centred, stage.sum_multiplier, t);
  t = apply_act(stage, terms.slope.empty() ? 1.0f : terms.slope[c], t);
  if (stage.sum == Sum::kAfterAct) t = std::fma(centred, stage.sum_multiplier, t);
  return t;
}

inline int32_t clamp_int32(int64_t value) {
  if (value > std::numeric_limits<int32_t>::max()) return std::numeric_limits<int32_t>::max();
  if (value < std::numeric_limits<int32_t>::min()) return std::numeric_limits<int32_t>::min();
  return static_cast<int32_t>(value);
}

// Largest |x - zero_point| that the data type can hold.
inline int64_t max_centred(DType dtype, int zero_point) {
  const int64_t up = qmax(dtype) - zero_point, down = zero_point - qmin(dtype);
  return up > down ? up : down;
}

}  // namespace mxq
