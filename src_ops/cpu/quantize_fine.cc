// mxq_quantize_v2 with fine_steps above 1.
#include "../ops/quantize_v2.h"

// GCC 12 takes the deliberately undefined registers of its own header for a mistake.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "../ops/layout.h"
#include "channels.h"
#include "clones.h"
#include "isa.h"

namespace mxq {
namespace {

struct FineRow {
  float inverse, zero_point, low, high, steps;
};

// floor() and rint() of values in a range where adding and subtracting 1.5 * 2^23 rounds half to even.
inline __attribute__((always_inline)) float round_small(float v) {
  constexpr float kRound = 12582912.0f;
  return (v + kRound) - kRound;
}

inline __attribute__((always_inline)) float whole_steps(float t, const FineRow& row) {
  float v = t > row.low ? t : row.low;  // also NaN
  v = v < row.high ? v : row.high;
  const float rounded = round_small(v);
  return rounded > v ? rounded - 1.0f : rounded;
}

MXQ_CLONES void whole_row(const float* src, uint8_t* dst, int64_t n, FineRow row) {
  for (int64_t i = 0; i < n; ++i) {
    dst[i] = static_cast<uint8_t>(static_cast<int>(whole_steps(src[i] * row.inverse + row.zero_point, row)));
  }
}

MXQ_CLONES void rest_row(const float* src, uint8_t* dst, int64_t n, FineRow row) {
  for (int64_t i = 0; i < n; ++i) {
    const float t = src[i] * row.inverse + row.zero_point;
    float v = (t - whole_steps(t, row)) * row.steps;
    v = v > 0.0f ? v : 0.0f;  // also NaN
    v = v < row.steps ? v : row.steps;
    v = round_small(v) + row.zero_point;
    dst[i] = static_cast<uint8_t>(static_cast<int>(v < row.high ? v : row.high));
  }
}

// Both parts of each value, which share the first steps.
MXQ_CLONES void both_rows_plain(const float* __restrict src, uint8_t* __restrict whole, uint8_t* __restrict rest,
                                int64_t n, FineRow row) {
  for (int64_t i = 0; i < n; ++i) {
    const float t = src[i] * row.inverse + row.zero_point;
    const float down = whole_steps(t, row);
    float v = (t - down) * row.steps;
    v = v > 0.0f ? v : 0.0f;  // also NaN
    v = v < row.steps ? v : row.steps;
    v = round_small(v) + row.zero_point;
    whole[i] = static_cast<uint8_t>(static_cast<int>(down));
    rest[i] = static_cast<uint8_t>(static_cast<int>(v < row.high ? v : row.high));
  }
}

// The same: max and min return their second operand where one is NaN.
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))) void both_rows_avx512(const float* src, uint8_t* whole,
                                                                                    uint8_t* rest, int64_t n,
                                                                                    FineRow row) {
  const __m512 inverse = _mm512_set1_ps(row.inverse), zero_point = _mm512_set1_ps(row.zero_point);
  const __m512 low = _mm512_set1_ps(row.low), high = _mm512_set1_ps(row.high), steps = _mm512_set1_ps(row.steps);
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 live = n - i >= 16 ? 0xFFFF : static_cast<__mmask16>((1u << (n - i)) - 1);
    const __m512 t = _mm512_add_ps(_mm512_mul_ps(_mm512_maskz_loadu_ps(live, src + i), inverse), zero_point);
    const __m512 down = _mm512_roundscale_ps(_mm512_min_ps(_mm512_max_ps(t, low), high), _MM_FROUND_TO_NEG_INF);
    __m512 v = _mm512_mul_ps(_mm512_sub_ps(t, down), steps);
    v = _mm512_min_ps(_mm512_max_ps(v, _mm512_setzero_ps()), steps);
    v = _mm512_add_ps(_mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT), zero_point);
    _mm512_mask_cvtepi32_storeu_epi8(whole + i, live, _mm512_cvtps_epi32(down));
    _mm512_mask_cvtepi32_storeu_epi8(rest + i, live, _mm512_cvtps_epi32(_mm512_min_ps(v, high)));
  }
}

void both_rows(const float* src, uint8_t* whole, uint8_t* rest, int64_t n, const FineRow& row) {
  static const bool wide = cpu_isa() == Isa::kAvx512;
  (wide ? both_rows_avx512 : both_rows_plain)(src, whole, rest, n, row);
}

// dst = a[0..n), b[0..n), a[n..2n), ... for `rows` pieces of each. kBytes are copied at a time, where they are no fewer
// than n, from `a` and `b` too; what is written too much is overwritten by what follows.
template <int64_t kBytes>
void alternate(const uint8_t* a, const uint8_t* b, int64_t rows, int64_t n, uint8_t* dst) {
  const int64_t loose = kBytes < n ? 0 : std::max<int64_t>(0, rows - (kBytes - n + 2 * n - 1) / (2 * n));
  for (int64_t r = 0; r < loose; ++r, a += n, b += n, dst += 2 * n) {
    std::memcpy(dst, a, kBytes);
    std::memcpy(dst + n, b, kBytes);
  }
  for (int64_t r = loose; r < rows; ++r, a += n, b += n, dst += 2 * n) {
    std::memcpy(dst, a, n);
    std::memcpy(dst + n, b, n);
  }
}

class CpuQuantizeFine : public Kernel {
 public:
  explicit CpuQuantizeFine(const QuantizeV2Op& op)
      : channels_last_(op.channels_last),
        axis_(op.axis),
        row_{reciprocal(op.qparams.scale), static_cast<float>(op.qparams.zero_point),
             static_cast<float>(qmin(op.out_type)), static_cast<float>(qmax(op.out_type)),
             static_cast<float>(op.fine_steps)},
        scalars_(op.scalars) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    const float* const src = in[0].as<float>();
    uint8_t* const dst = out[0].as<uint8_t>();
    const Shape& shape = in[0].shape();
    const int64_t size = in[0].size();
    if (size == 0) return;
    const int64_t axis = axis_of(shape, axis_);
    int64_t outer = 1;
    for (int64_t i = 0; i < axis; ++i) outer *= shape[i];
    const int64_t block = size / outer, channels = shape[axis], spatial = block / channels;
    if (channels_last_ && spatial > 1) {  // whole steps and rests as if they were 2 * channels of the source
      to_channels_last(outer, 2 * channels, spatial, sizeof(float), dst,
                       [&](int64_t offset, int64_t c, uint8_t* to, int64_t n) {
                         const int64_t batch = offset / (2 * channels * spatial), s = offset % spatial;
                         const float* from = src + (batch * channels + c % channels) * spatial + s;
                         with_scalars(scalars_, from, n, [&](const float* x, int64_t i, int64_t m) {
                           c < channels ? whole_row(x, to + i, m, row_) : rest_row(x, to + i, m, row_);
                         });
                       });
      return;
    }
    parallel_for(outer, block * 6, [&](int64_t begin, int64_t end) {
      if (block < kTogether && block % 32 != 0) return short_rows(src, dst, block, begin, end);
      for (int64_t i = begin; i < end; ++i) {
        uint8_t *const whole = dst + 2 * i * block, *const rest = whole + block;
        with_scalars(scalars_, src + i * block, block,
                     [&](const float* x, int64_t k, int64_t m) { both_rows(x, whole + k, rest + k, m, row_); });
      }
    });
  }

 private:
  static constexpr int64_t kTogether = 2048, kMostCopied = 64;

  // Rows [begin, end) of few values: many at once, and then to their places.
  void short_rows(const float* src, uint8_t* dst, int64_t block, int64_t begin, int64_t end) const {
    uint8_t whole[kTogether + kMostCopied], rest[kTogether + kMostCopied];
    for (int64_t rows; begin < end; begin += rows) {
      rows = std::min(end - begin, kTogether / block);
      with_scalars(scalars_, src + begin * block, rows * block,
                   [&](const float* x, int64_t k, int64_t m) { both_rows(x, whole + k, rest + k, m, row_); });
      uint8_t* const to = dst + 2 * begin * block;
      if (block <= 8) {
        alternate<8>(whole, rest, rows, block, to);
      } else if (block <= 16) {
        alternate<16>(whole, rest, rows, block, to);
      } else if (block <= 32) {
        alternate<32>(whole, rest, rows, block, to);
      } else if (block <= kMostCopied) {
        alternate<kMostCopied>(whole, rest, rows, block, to);
      } else {
        alternate<0>(whole, rest, rows, block, to);
      }
    }
  }

  bool channels_last_;
  int64_t axis_;
  FineRow row_;
  Scalars scalars_;
};

}  // namespace

KernelPtr cpu_quantize_fine(const QuantizeV2Op& op) { return std::make_shared<CpuQuantizeFine>(op); }

}  // namespace mxq
