// The activations that an elementwise operator can apply before it rounds.
#pragma once

#include <limits>
#include <string>

#include "../core/attrs.h"

namespace mxq {

// In units of the output: t < 0 ? fl(t * slope) : t, then clamped to [low, high]. Each of none, relu, clip and leaky is
// a case of it.
struct Activation {
  float slope = 1.0f;
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();

  float operator()(float t) const {
    t = t < 0.0f ? t * slope : t;
    t = t > low ? t : low;
    return t < high ? t : high;
  }
};

// Attributes act, act_alpha, act_beta. clip: alpha is the lower, beta the upper bound in real numbers; leaky: alpha is
// the slope.
inline Activation get_activation(const Attrs& attrs, float out_scale) {
  Activation act;
  const std::string name = attrs.get_choice("act", "none", {"none", "relu", "clip", "leaky"});
  if (name == "relu") act.low = 0.0f;
  if (name == "clip") {
    const double low = attrs.get_float("act_alpha"), high = attrs.get_float("act_beta");
    if (low > high) attrs.fail("act_alpha", "a number not above act_beta is accepted");
    act.low = static_cast<float>(low / out_scale);
    act.high = static_cast<float>(high / out_scale);
  }
  if (name == "leaky") act.slope = static_cast<float>(attrs.get_float("act_alpha"));
  return act;
}

}  // namespace mxq
