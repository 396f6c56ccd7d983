#include "output_stage.h"

#include "../core/check.h"

namespace mxq {
namespace {

bool is_8bit(DType dtype) { return dtype == DType::kInt8 || dtype == DType::kUint8; }

void require_type(const char* what, DType want, DType* have) {
  if (*have == DType::kUnknown) *have = want;
  MXQ_CHECK(*have == want, what << " is " << name_of(*have) << "; expected " << name_of(want));
}

void require_8bit(const char* what, const char* zero_name, int zero, DType have) {
  if (have == DType::kUnknown) return;
  MXQ_CHECK(is_8bit(have),
            what << " is " << name_of(have) << "; expected int8 or uint8 (put mxq_quantize_v2 before it)");
  MXQ_CHECK(zero >= qmin(have) && zero <= qmax(have),
            "attribute " << zero_name << "=" << zero << ": not a value of " << what << ", which is " << name_of(have));
}

// The ratio of two scales as float32. Zero or infinity would turn every output into 0 or NaN.
float checked_ratio(const char* what, double ratio) {
  const float value = static_cast<float>(ratio);
  MXQ_CHECK(std::isfinite(value) && value > 0,
            what << " gives a multiplier of " << ratio << ", which float32 cannot hold; check the scales");
  return value;
}

Act parse_act(const Attrs& attrs) {
  const std::string name = attrs.get_choice("act", "none", {"none", "relu", "clip", "leaky", "prelu"});
  return name == "relu"    ? Act::kRelu
         : name == "clip"  ? Act::kClip
         : name == "leaky" ? Act::kLeaky
         : name == "prelu" ? Act::kPrelu
                           : Act::kNone;
}

Sum parse_sum(const Attrs& attrs) {
  const std::string name = attrs.get_choice("sum", "none", {"none", "before_act", "after_act"});
  return name == "before_act" ? Sum::kBeforeAct : name == "after_act" ? Sum::kAfterAct : Sum::kNone;
}

}  // namespace

OutputStage parse_output_stage(const Attrs& attrs) {
  for (const char* key :
       {"in_scale", "out_scale", "out_zero_point", "act_alpha", "act_beta", "sum_scale", "sum_zero_point"}) {
    attrs.accept(key);  // not every combination below reads it
  }
  OutputStage stage;
  stage.out_type = attrs.get_dtype("out_type", "int8", {"int8", "uint8", "int32", "float32"});
  stage.no_bias = attrs.get_bool("no_bias", false);
  stage.content_id = attrs.get_string("content_id", "");
  stage.has_digest = attrs.has("digest");
  if (stage.has_digest && !from_hex(attrs.get_string("digest", ""), &stage.digest)) {
    attrs.fail("digest", "32 hexadecimal digits are accepted");
  }
  stage.in_zero_point = static_cast<int>(attrs.get_int("in_zero_point", 0));
  stage.act = parse_act(attrs);
  stage.sum = parse_sum(attrs);
  if (stage.out_type == DType::kInt32) {
    if (stage.act != Act::kNone) attrs.fail("act", "must be none where out_type is int32");
    if (stage.sum != Sum::kNone) attrs.fail("sum", "must be none where out_type is int32");
    return stage;
  }
  stage.in_scale = attrs.get_scale("in_scale", 1.0f);
  if (is_8bit(stage.out_type)) {
    stage.out_scale = attrs.get_scale("out_scale", 1.0f);
    stage.out_zero_point = attrs.get_zero_point("out_zero_point", stage.out_type);
  }
  if (stage.act == Act::kClip) {
    const double low = attrs.get_float("act_alpha"), high = attrs.get_float("act_beta");
    if (!(low <= high)) attrs.fail("act_alpha", "must not be above act_beta");
    stage.act_alpha = static_cast<float>(low / stage.out_scale);
    stage.act_beta = static_cast<float>(high / stage.out_scale);
  } else if (stage.act == Act::kLeaky) {
    stage.act_alpha = static_cast<float>(attrs.get_float("act_alpha"));
  }
  if (stage.sum != Sum::kNone) {
    const double ratio = static_cast<double>(attrs.get_scale("sum_scale", 1.0f)) / stage.out_scale;
    stage.sum_multiplier = checked_ratio("sum_scale / out_scale", ratio);
    stage.sum_zero_point = static_cast<int>(attrs.get_int("sum_zero_point", 0));
  }
  return stage;
}

void infer_stage_types(const OutputStage& stage, std::vector<DType>* in, std::vector<DType>* out) {
  require_8bit("data", "in_zero_point", stage.in_zero_point, (*in)[0]);
  require_type("weight", DType::kInt8, &(*in)[1]);
  require_type("weight_scale", DType::kFloat32, &(*in)[2]);
  if (!stage.no_bias) require_type("bias", DType::kInt32, &(*in)[stage.bias_index()]);
  if (stage.act == Act::kPrelu) require_type("slope", DType::kFloat32, &(*in)[stage.slope_index()]);
  if (stage.sum != Sum::kNone) {
    const DType residual = (*in)[stage.residual_index()];
    if (residual == DType::kFloat32 && stage.out_type == DType::kFloat32) {
      MXQ_CHECK(stage.sum_multiplier == 1.0f && stage.sum_zero_point == 0,
                "a float32 residual is added as it is; attributes sum_scale and sum_zero_point must be 1 and 0");
    } else {
      require_8bit("residual", "sum_zero_point", stage.sum_zero_point, residual);
    }
  }
  out->assign(1, stage.out_type);
}

void unify_shape(const char* what, const Shape& want, Shape* shape) {
  auto text = [](const Shape& s) {
    std::ostringstream os;
    os << "(";
    for (size_t i = 0; i < s.size(); ++i) os << (i ? ", " : "") << s[i];
    os << ")";
    return os.str();
  };
  if (shape->empty()) *shape = want;
  MXQ_CHECK(shape->size() == want.size(), what << " has shape " << text(*shape) << "; expected " << text(want));
  for (size_t i = 0; i < want.size(); ++i) {
    int64_t& have = (*shape)[i];
    if (have < 0) have = want[i];
    MXQ_CHECK(want[i] < 0 || have == want[i], what << " has shape " << text(*shape) << "; expected " << text(want));
  }
}

void infer_stage_shapes(const OutputStage& stage, int64_t channels, const Shape& out_shape, std::vector<Shape>* in) {
  unify_shape("weight_scale", {channels}, &(*in)[2]);
  if (!stage.no_bias) unify_shape("bias", {channels}, &(*in)[stage.bias_index()]);
  if (stage.act == Act::kPrelu) unify_shape("slope", {channels}, &(*in)[stage.slope_index()]);
  if (stage.sum != Sum::kNone) unify_shape("residual", out_shape, &(*in)[stage.residual_index()]);
}

LayerParams layer_params(const OutputStage& stage, const std::vector<Tensor>& in) {
  auto at = [&in](int index) { return index < 0 ? nullptr : &in[index]; };
  const Digest* digest = stage.has_digest ? &stage.digest : nullptr;
  return {&in[1], &in[2], at(stage.bias_index()), at(stage.slope_index()), digest};
}

ChannelTerms derive_channel_terms(const OutputStage& stage, const LayerParams& params) {
  ChannelTerms terms;
  const int64_t channels = params.weight_scale->size();
  const int32_t* b = params.bias ? params.bias->as<const int32_t>() : nullptr;
  if (stage.out_type == DType::kInt32) {
    if (b) terms.bias_int.assign(b, b + channels);
    return terms;
  }
  const float* ws = params.weight_scale->as<const float>();
  terms.multiplier.resize(channels);
  terms.bias.resize(channels);
  for (int64_t c = 0; c < channels; ++c) {
    MXQ_CHECK(std::isfinite(ws[c]) && ws[c] > 0,
              "weight_scale[" << c << "] = " << ws[c] << "; expected a finite number above 0");
    const double r = static_cast<double>(stage.in_scale) * ws[c] / stage.out_scale;
    terms.multiplier[c] = checked_ratio("in_scale * weight_scale / out_scale", r);
    terms.bias[c] = b ? static_cast<float>(b[c] * r) : 0.0f;
  }
  if (stage.act == Act::kLeaky) terms.slope.assign(channels, stage.act_alpha);
  if (stage.act == Act::kPrelu) {
    const float* slope = params.slope->as<const float>();
    terms.slope.assign(slope, slope + channels);
    for (int64_t c = 0; c < channels; ++c) {
      MXQ_CHECK(std::isfinite(slope[c]), "slope[" << c << "] = " << slope[c] << "; expected a finite number");
    }
  }
  return terms;
}

}  // namespace mxq
