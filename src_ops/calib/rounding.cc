// Rounds weights column by column, each corrected by the errors of those before it; mxq/arithmetic/rounding.py calls
// this and is its plain meaning.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "../cpu/clones.h"

namespace mxq {
namespace {

constexpr int64_t kOutputs = 32;  // that are rounded together

// rounded[j] is the level nearest to target[j] + sum of factor[j][i] * errors[i] for i < j, and errors[j] how far it is
// from target[j]. Arrays are (columns, kOutputs), factor (columns, columns).
MXQ_CLONES void nearest_plane(const float* factor, int64_t columns, const float* scale, const float* targets,
                              float levels, float* errors, float* rounded) {
  for (int64_t j = 0; j < columns; ++j) {
    const float* row = factor + j * columns;
    float wanted[kOutputs] = {};
    for (int64_t i = 0; i < j; ++i) {
      const float f = row[i], *error = errors + i * kOutputs;
#pragma omp simd
      for (int l = 0; l < kOutputs; ++l) wanted[l] += f * error[l];
    }
    const float* target = targets + j * kOutputs;
#pragma omp simd
    for (int l = 0; l < kOutputs; ++l) {
      const float level = std::nearbyintf((wanted[l] + target[l]) / scale[l]);
      const float held = level < -levels ? -levels : level > levels ? levels : level;
      rounded[j * kOutputs + l] = held;
      errors[j * kOutputs + l] = target[l] - held * scale[l];
    }
  }
}

}  // namespace
}  // namespace mxq

// Rounds weight (groups, outputs, blocks, columns) to integers from -levels to levels in tasks [begin, end) of all
// groups * blocks * ceil(outputs / 32): each is a block of columns for some outputs of a group.
//
// scale (groups, outputs); order, factor: of each group and block, columns in the order in which they are rounded, and
// (columns, columns) the share of the error of column i that column j takes up, at [j][i].
extern "C" void mxq_round_to(const float* weight, int64_t outputs, int64_t blocks, int64_t columns, const float* scale,
                             const int64_t* order, const float* factor, int64_t begin, int64_t end, float levels,
                             int8_t* rounded) noexcept {
  using mxq::kOutputs;
  const int64_t chunks = (outputs + kOutputs - 1) / kOutputs;
  std::vector<float> targets(columns * kOutputs), errors(columns * kOutputs), found(columns * kOutputs);
  float scales[kOutputs];
  for (int64_t task = begin; task < end; ++task) {
    const int64_t part = task / chunks, first = task % chunks * kOutputs;
    const int64_t group = part / blocks, block = part % blocks;
    const int64_t here = std::min(kOutputs, outputs - first);
    const int64_t* columns_of = order + part * columns;
    const auto at = [&](int64_t l, int64_t j) {
      return ((group * outputs + first + std::min(l, here - 1)) * blocks + block) * columns + columns_of[j];
    };
    for (int64_t l = 0; l < kOutputs; ++l) {
      scales[l] = scale[group * outputs + first + std::min(l, here - 1)];
      for (int64_t j = 0; j < columns; ++j) targets[j * kOutputs + l] = weight[at(l, j)];
    }
    mxq::nearest_plane(factor + part * columns * columns, columns, scales, targets.data(), levels, errors.data(),
                       found.data());
    for (int64_t l = 0; l < here; ++l) {
      for (int64_t j = 0; j < columns; ++j) rounded[at(l, j)] = static_cast<int8_t>(found[j * kOutputs + l]);
    }
  }
}
