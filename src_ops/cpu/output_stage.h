// The output stage of ops/output_stage.h over a row of neighbouring channels.
#pragma once

#include "../ops/output_stage.h"

namespace mxq {

// acc, and out and residual from element `at` on, hold channels [first, first + n).
void write_stage(const OutputStage& stage, const ChannelTerms& terms, int64_t first, int64_t n, const int32_t* acc,
                 const Tensor* residual, const Tensor& out, int64_t at);

// What follows scale, bias and sums: the activation and the output's rounding. Changes t[0..n), channels from `first`.
void activate_and_store(const OutputStage& stage, const ChannelTerms& terms, int64_t first, int64_t n, float* t,
                        const Tensor& out, int64_t at);

// out[i] = residual[i], or float(residual[i] - zero_point) where out is float32: what a kernel that adds to its
// destination needs to find there.
void prefill_residual(const Tensor& residual, int zero_point, const Tensor& out);

// What the activation leaves of a value, for None, ReLU and clip: as float32 in units of the output, and as it is
// stored with 8 bits. Rounding keeps order, so clamping before and after it gives the same.
struct ActBounds {
  float low, high;
  uint8_t low_byte, high_byte;  // of 8-bit outputs
};
ActBounds act_bounds(const OutputStage& stage);

// values[row][c] += bias[c], clamped to int32.
void add_bias(const std::vector<int32_t>& bias, int64_t rows, int32_t* values);

}  // namespace mxq
