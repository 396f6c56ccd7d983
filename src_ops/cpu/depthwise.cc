#include "depthwise.h"

#include <algorithm>

#include "clones.h"
#include "output_stage.h"
#include "parallel.h"

namespace mxq {
namespace {

// weights[m][tap][c] of output channel c * multiplier + m
struct DepthwisePacked : Packed {
  std::vector<int16_t> weights;
};

// kCount channels whose accumulators stay in registers over all taps: the count must be a constant for that.
template <int kCount, class T>
inline __attribute__((always_inline)) void sum_block(const T* const* x, const int16_t* const* w, int64_t taps,
                                                     int64_t first, int zero_point, int32_t* acc) {
  int32_t sum[kCount] = {};
  for (int64_t t = 0; t < taps; ++t) {
    const T* __restrict__ xt = x[t] + first;
    const int16_t* __restrict__ wt = w[t] + first;
    for (int c = 0; c < kCount; ++c) sum[c] += (xt[c] - zero_point) * wt[c];
  }
  for (int c = 0; c < kCount; ++c) acc[first + c] = sum[c];
}

// acc[c] = SUM_tap (x[tap][c] - zero_point) * w[tap][c]
template <class T>
inline __attribute__((always_inline)) void sum_taps(const T* const* x, const int16_t* const* w, int64_t taps,
                                                    int64_t channels, int zero_point, int32_t* acc) {
  int64_t c = 0;
  for (; c + 32 <= channels; c += 32) sum_block<32>(x, w, taps, c, zero_point, acc);
  for (; c + 8 <= channels; c += 8) sum_block<8>(x, w, taps, c, zero_point, acc);
  for (; c < channels; ++c) sum_block<1>(x, w, taps, c, zero_point, acc);
}

MXQ_CLONES void sum_taps_u8(const uint8_t* const* x, const int16_t* const* w, int64_t taps, int64_t channels,
                            int zero_point, int32_t* acc) {
  sum_taps(x, w, taps, channels, zero_point, acc);
}

MXQ_CLONES void sum_taps_s8(const int8_t* const* x, const int16_t* const* w, int64_t taps, int64_t channels,
                            int zero_point, int32_t* acc) {
  sum_taps(x, w, taps, channels, zero_point, acc);
}

inline void sum_any(const uint8_t* const* x, const int16_t* const* w, int64_t taps, int64_t n, int zero, int32_t* acc) {
  sum_taps_u8(x, w, taps, n, zero, acc);
}
inline void sum_any(const int8_t* const* x, const int16_t* const* w, int64_t taps, int64_t n, int zero, int32_t* acc) {
  sum_taps_s8(x, w, taps, n, zero, acc);
}

// Output rows [begin, end) of all images.
template <class T>
void run_rows(const ConvGeometry& g, const OutputStage& stage, const DepthwisePacked& packed, const T* data,
              const Tensor* residual, const Tensor& out, int64_t begin, int64_t end) {
  const int64_t multiplier = g.group_out(), taps = g.kernel_h * g.kernel_w;
  std::vector<const T*> x(taps);
  std::vector<const int16_t*> w(taps);
  std::vector<int32_t> part(g.in_c), acc(g.out_c);
  std::vector<int64_t> tap(taps);
  for (int64_t row = begin; row < end; ++row) {
    const int64_t n = row / g.out_h, y = row % g.out_h;
    for (int64_t ox = 0; ox < g.out_w; ++ox) {
      int64_t used = 0;  // taps inside the image
      for (int64_t ky = 0; ky < g.kernel_h; ++ky) {
        const int64_t iy = y * g.stride_h - g.pad_top + ky * g.dilate_h;
        if (iy < 0 || iy >= g.in_h) continue;
        for (int64_t kx = 0; kx < g.kernel_w; ++kx) {
          const int64_t ix = ox * g.stride_w - g.pad_left + kx * g.dilate_w;
          if (ix < 0 || ix >= g.in_w) continue;
          x[used] = data + ((n * g.in_h + iy) * g.in_w + ix) * g.in_c;
          tap[used++] = ky * g.kernel_w + kx;
        }
      }
      for (int64_t m = 0; m < multiplier; ++m) {
        for (int64_t t = 0; t < used; ++t) w[t] = packed.weights.data() + (m * taps + tap[t]) * g.in_c;
        int32_t* to = multiplier == 1 ? acc.data() : part.data();
        sum_any(x.data(), w.data(), used, g.in_c, stage.in_zero_point, to);
        if (multiplier == 1) continue;
        for (int64_t c = 0; c < g.in_c; ++c) acc[c * multiplier + m] = part[c];
      }
      write_stage(stage, packed.terms, 0, g.out_c, acc.data(), residual, out, (row * g.out_w + ox) * g.out_c);
    }
  }
}

}  // namespace

std::shared_ptr<Packed> pack_depthwise(const ConvGeometry& g, const OutputStage& stage, const LayerParams& params) {
  auto packed = std::make_shared<DepthwisePacked>();
  const int64_t taps = g.kernel_h * g.kernel_w, multiplier = g.group_out();
  const int8_t* w = params.weight->as<const int8_t>();
  packed->weights.resize(taps * g.out_c);
  for (int64_t o = 0; o < g.out_c; ++o) {
    for (int64_t t = 0; t < taps; ++t) {
      packed->weights[(o % multiplier * taps + t) * g.in_c + o / multiplier] = w[o * taps + t];
    }
  }
  describe_packed(stage, params, packed->weights.size() * sizeof(int16_t), packed.get());
  return packed;
}

void run_depthwise(const ConvGeometry& g, const OutputStage& stage, const Packed& packed, const Tensor& data,
                   const Tensor* residual, const Tensor& out) {
  const auto& weights = static_cast<const DepthwisePacked&>(packed);
  const int64_t work_per_row = g.out_w * g.out_c * (g.kernel_h * g.kernel_w + 4);
  parallel_for(g.batch * g.out_h, work_per_row, [&](int64_t begin, int64_t end) {
    if (data.dtype() == DType::kUint8) {
      run_rows(g, stage, weights, data.as<const uint8_t>(), residual, out, begin, end);
    } else {
      run_rows(g, stage, weights, data.as<const int8_t>(), residual, out, begin, end);
    }
  });
}

}  // namespace mxq
