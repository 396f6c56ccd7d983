#include "tile_stage.h"

#include <algorithm>
#include <limits>

#include "output_stage.h"
#include "tile_stage_avx512.h"

namespace mxq {
namespace tiles {
namespace {

template <int V, Out kOut, bool kSum, bool kSlope, bool kZero>
MXQ_AVX512 void run(const int32_t* sums, int64_t stride, int pixels, const Places& t, const Stage& stage) {
  constexpr int kPixels = 4;
  __m512i acc[kPixels][V];
  MXQ_UNROLL for (int p = 0; p < kPixels; ++p) {
    if (p >= pixels) break;
    MXQ_UNROLL for (int v = 0; v < V; ++v) acc[p][v] = _mm512_load_si512(sums + p * stride + v * kLanes);
  }
  finish<kPixels, V, kOut, kSum, kSlope, kZero>(acc, pixels, t, stage);
}

template <Out kOut, bool kSum, bool kSlope, bool kZero>
StageLoops loops() {
  return {{run<1, kOut, kSum, kSlope, kZero>, run<2, kOut, kSum, kSlope, kZero>, run<3, kOut, kSum, kSlope, kZero>,
           run<4, kOut, kSum, kSlope, kZero>}};
}

// Only what is frequent has no zero points.
template <Out kOut, bool kSum>
StageLoops choose_bytes(const StageKind& kind) {
  if (kind.slope) return loops<kOut, kSum, true, true>();
  return kind.zero ? loops<kOut, kSum, false, true>() : loops<kOut, kSum, false, false>();
}

}  // namespace

Stage make_stage(const OutputStage& stage, DType residual) {
  const ActBounds bounds = act_bounds(stage);
  Stage s;
  s.zero_point = static_cast<float>(stage.out_zero_point);
  s.sum_flip = residual == DType::kInt8 ? 128 : 0;
  s.sum_zero_point = static_cast<float>(stage.sum_zero_point + s.sum_flip);
  s.sum_multiplier = stage.sum_multiplier;
  s.low = bounds.low_byte;
  s.high = bounds.high_byte;
  s.low_value = bounds.low;
  s.high_value = bounds.high;
  return s;
}

const char* why_no_loop(const OutputStage& stage) {
  const bool sums = stage.sum != Sum::kNone;
  if (stage.out_type != DType::kInt32 && stage.sum != Sum::kAfterAct && !(sums && stage.out_type == DType::kFloat32)) {
    return "";
  }
  return "it has no int32 output and only sums of 8-bit values before the activation";
}

StageKind kind_of(const OutputStage& stage, DType residual) {
  const bool sum = stage.sum != Sum::kNone;
  const Out out = stage.out_type == DType::kFloat32 ? Out::kFloat
                  : stage.out_type == DType::kInt8  ? Out::kInt8
                                                    : Out::kUint8;
  return {out, sum, stage.has_slope(),
          stage.out_zero_point || (sum && (stage.sum_zero_point || residual == DType::kInt8))};
}

bool stays_in_int32(const OutputStage& stage, const Packed& packed) {
  double largest = 0, steepest = 1;
  for (size_t c = 0; c < packed.terms.multiplier.size(); ++c) {
    largest = std::max(largest, std::fabs(double{packed.terms.multiplier[c]}) * packed.max_abs_sum * 255 +
                                    std::fabs(double{packed.terms.bias[c]}));
  }
  for (const float slope : packed.terms.slope) steepest = std::max(steepest, std::fabs(double{slope}));
  if (stage.sum != Sum::kNone) largest += 256.0 * std::fabs(double{stage.sum_multiplier});
  return largest * steepest < 1e9 && 2 * packed.max_abs_sum < std::numeric_limits<int32_t>::max() / 256;
}

void LaneTerms::place(void* memory, int64_t lanes) {
  multiplier = static_cast<float*>(memory);
  bias = multiplier + lanes;
  slope = bias + lanes;
}

void LaneTerms::set(int64_t lane, const ChannelTerms& terms, int64_t channel) {
  multiplier[lane] = terms.multiplier[channel];
  bias[lane] = terms.bias[channel];
  if (!terms.slope.empty()) slope[lane] = terms.slope[channel];
}

StageLoops choose(const StageKind& kind) {
  switch (kind.out) {
    case Out::kFloat:
      return kind.slope ? loops<Out::kFloat, false, true, false>() : loops<Out::kFloat, false, false, false>();
    case Out::kInt8:
      return kind.sum ? choose_bytes<Out::kInt8, true>(kind) : choose_bytes<Out::kInt8, false>(kind);
    default:
      return kind.sum ? choose_bytes<Out::kUint8, true>(kind) : choose_bytes<Out::kUint8, false>(kind);
  }
}

}  // namespace tiles
}  // namespace mxq
