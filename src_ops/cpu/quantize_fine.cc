// mxq_quantize_v2 with fine_steps above 1.
#include <algorithm>
#include <cstring>

#include "../ops/layout.h"
#include "../ops/quantize_v2.h"
#include "channels.h"
#include "clones.h"

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
MXQ_CLONES void both_rows(const float* __restrict src, uint8_t* __restrict whole, uint8_t* __restrict rest, int64_t n,
                          FineRow row) {
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

// dst = a[0..n), b[0..n), a[n..2n), ... for `rows` pieces of each. Up to kBytes are copied at a time, from `a` and `b`
// too; what is written too much is overwritten by what follows.
template <int64_t kBytes>
void alternate(const uint8_t* a, const uint8_t* b, int64_t rows, int64_t n, uint8_t* dst) {
  const int64_t loose = std::max<int64_t>(0, rows - (kBytes - n + 2 * n - 1) / (2 * n));
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
      if (block <= kMostCopied) return short_rows(src, dst, block, begin, end);
      for (int64_t i = begin; i < end; ++i) {
        uint8_t *const whole = dst + 2 * i * block, *const rest = whole + block;
        with_scalars(scalars_, src + i * block, block,
                     [&](const float* x, int64_t k, int64_t m) { both_rows(x, whole + k, rest + k, m, row_); });
      }
    });
  }

 private:
  static constexpr int64_t kMostCopied = 64;

  // Rows [begin, end) of few values: many at once, and then to their places.
  void short_rows(const float* src, uint8_t* dst, int64_t block, int64_t begin, int64_t end) const {
    constexpr int64_t kTogether = 2048;
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
      } else {
        alternate<kMostCopied>(whole, rest, rows, block, to);
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
