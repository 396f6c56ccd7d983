// Each row of the input that is needed is resized along its width once, into a row of floats; rows of the output are
// blends of two such rows. The two last ones are kept, an even and an odd one: neighbours never take each other's
// place. Wide rows are cut into strips, so that two of them stay in the first-level cache.
#include "../ops/resize.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "../core/qmath.h"
#include "clones.h"
#include "parallel.h"

namespace mxq {
namespace {

#define MXQ_INLINE __attribute__((always_inline)) inline

constexpr int64_t kStrip = 4096;  // values of a row that are resized together
constexpr int64_t kRun = 16;      // fewer channels are no loop of their own

// What a row of the output reads in a row of the input: runs of values that share their weights.
struct Columns {
  int64_t count, run;
  std::vector<int32_t> low, high;  // the begin of each run
  std::vector<float> low_weight, high_weight;
};

Columns columns_of(const ResizeGeometry& g) {
  Columns columns;
  columns.run = g.channels < kRun ? 1 : g.channels;
  columns.count = g.w.out * g.channels / columns.run;
  for (int64_t i = 0; i < columns.count; ++i) {
    const int64_t value = i * columns.run, c = value % g.channels;
    const ResizeTap tap = g.w.tap(value / g.channels);
    columns.low.push_back(static_cast<int32_t>(tap.low * g.channels + c));
    columns.high.push_back(static_cast<int32_t>(tap.high * g.channels + c));
    columns.low_weight.push_back(tap.low_weight);
    columns.high_weight.push_back(tap.high_weight);
  }
  return columns;
}

template <class T>
MXQ_INLINE void resize_row(const T* src, const Columns& columns, int64_t begin, int64_t end, float* __restrict dst) {
  const int32_t *low = columns.low.data(), *high = columns.high.data();
  const float *low_weight = columns.low_weight.data(), *high_weight = columns.high_weight.data();
  if (columns.run == 1) {
    for (int64_t i = begin; i < end; ++i) {
      dst[i - begin] =
          blend(static_cast<float>(src[low[i]]), static_cast<float>(src[high[i]]), low_weight[i], high_weight[i]);
    }
    return;
  }
  for (int64_t i = begin; i < end; ++i, dst += columns.run) {
    const T *a = src + low[i], *b = src + high[i];
    for (int64_t k = 0; k < columns.run; ++k) {
      dst[k] = blend(static_cast<float>(a[k]), static_cast<float>(b[k]), low_weight[i], high_weight[i]);
    }
  }
}

// One function per type, each in its own right: clones of templates do not link.
#define MXQ_RESIZE_ROW(name, type)                                                                        \
  MXQ_CLONES void name(const char* src, const Columns& columns, int64_t begin, int64_t end, float* dst) { \
    resize_row(reinterpret_cast<const type*>(src), columns, begin, end, dst);                             \
  }
MXQ_RESIZE_ROW(resize_int8, int8_t)
MXQ_RESIZE_ROW(resize_uint8, uint8_t)
MXQ_RESIZE_ROW(resize_float, float)
#undef MXQ_RESIZE_ROW

MXQ_CLONES void blend_floats(const float* upper, const float* lower, const ResizeTap& y, int64_t n,
                             float* __restrict dst) {
  const float low = y.low_weight, high = y.high_weight;
  for (int64_t i = 0; i < n; ++i) dst[i] = blend(upper[i], lower[i], low, high);
}

// Bytes of either sign. Nothing has to be clamped: t leaves the range of the type by less than a rounding takes back.
MXQ_CLONES void blend_bytes(const float* upper, const float* lower, const ResizeTap& y, int64_t n,
                            uint8_t* __restrict dst) {
  const float low = y.low_weight, high = y.high_weight;
  for (int64_t i = 0; i < n; ++i) {
    const float shifted = blend(upper[i], lower[i], low, high) + kRoundToBits;
    int32_t bits;
    std::memcpy(&bits, &shifted, sizeof(bits));
    dst[i] = static_cast<uint8_t>(bits);
  }
}

class CpuResize : public Kernel {
 public:
  CpuResize(const ResizeGeometry& g, DType dtype)
      : g_(g), item_(static_cast<int64_t>(size_of(dtype))), columns_(columns_of(g)) {
    resize_ = dtype == DType::kInt8 ? resize_int8 : dtype == DType::kUint8 ? resize_uint8 : resize_float;
    for (int64_t o = 0; o < g.h.out; ++o) rows_.push_back(g.h.tap(o));
    strip_ = std::max<int64_t>(std::min(kStrip / columns_.run, columns_.count), 1);
    strips_ = (columns_.count + strip_ - 1) / strip_;
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    if (out[0].size() == 0) return;
    const int64_t n = strip_ * columns_.run;
    // Down a strip first. A value takes about as long as touching two floats.
    parallel_for(g_.planes * strips_ * g_.h.out, n * 8, [&](int64_t begin, int64_t end) {
      std::vector<float> memory(2 * n);
      int64_t held[2] = {-1, -1};
      for (int64_t i = begin; i < end; ++i) {
        const int64_t part = i / g_.h.out, row = i % g_.h.out, plane = part / strips_;
        const int64_t first = part % strips_ * strip_, last = std::min(first + strip_, columns_.count);
        const auto resized = [&](int64_t h) {
          float* const dst = memory.data() + h % 2 * n;
          if (held[h % 2] != part * g_.h.in + h) {
            held[h % 2] = part * g_.h.in + h;
            const char* src = in[0].as<const char>() + (plane * g_.h.in + h) * g_.w.in * g_.channels * item_;
            resize_(src, columns_, first, last, dst);
          }
          return dst;
        };
        const float *upper = resized(rows_[row].low), *lower = resized(rows_[row].high);
        const int64_t at = ((plane * g_.h.out + row) * columns_.count + first) * columns_.run;
        const int64_t size = (last - first) * columns_.run;
        if (item_ == 1) {
          blend_bytes(upper, lower, rows_[row], size, out[0].as<uint8_t>() + at);
        } else {
          blend_floats(upper, lower, rows_[row], size, out[0].as<float>() + at);
        }
      }
    });
  }

 private:
  const ResizeGeometry g_;
  const int64_t item_;
  const Columns columns_;
  std::vector<ResizeTap> rows_;
  int64_t strip_, strips_;  // columns in a strip, strips in a row
  void (*resize_)(const char* src, const Columns& columns, int64_t begin, int64_t end, float* dst);
};

// Bytes of one pixel everywhere: whatever its weights, they add up to 1 but for less than a rounding takes back.
class CpuRepeat : public Kernel {
 public:
  explicit CpuRepeat(const ResizeGeometry& g) : g_(g) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    const int64_t row = g_.w.out * g_.channels;
    parallel_for(g_.planes * g_.h.out, row, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const char* src = in[0].as<const char>() + i / g_.h.out * g_.channels;
        char* dst = out[0].as<char>() + i * row;
        if (g_.channels == 1) {
          std::memset(dst, *src, static_cast<size_t>(row));
        } else {
          for (int64_t w = 0; w < g_.w.out; ++w) std::copy_n(src, g_.channels, dst + w * g_.channels);
        }
      }
    });
  }

 private:
  const ResizeGeometry g_;
};

}  // namespace

KernelPtr cpu_resize(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                     std::string* why_not) {
  const ResizeGeometry g = static_cast<const ResizeOp&>(op).geometry(in[0].shape);
  if (g.is_copy()) return ref_resize(op, in, out, why_not);
  if (g.w.in * g.channels > INT32_MAX) {
    *why_not = "a row of the input has 2^31 values or more";
    return nullptr;
  }
  if (g.h.in * g.w.in == 1 && in[0].dtype != DType::kFloat32) return std::make_shared<CpuRepeat>(g);
  return std::make_shared<CpuResize>(g, in[0].dtype);
}

}  // namespace mxq
