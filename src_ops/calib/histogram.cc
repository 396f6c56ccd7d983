// What calibration finds in a tensor of (examples, channels, plane): mxq/calib/histogram.py calls this and is its plain
// meaning.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <mutex>
#include <vector>

#include "../cpu/clones.h"
#include "../cpu/parallel.h"

namespace mxq {
namespace {

constexpr int kLanes = 16;      // running sums, in the same order on every processor
constexpr int64_t kRun = 4096;  // values that are summed in float32

constexpr double kSmallest = 1e-30;  // sums of squares below it may have lost digits in float32

struct Found {
  float lo, hi;
  double sum, squares;
};

double total(const float* lanes) {
  double sum = 0;
  for (int l = 0; l < kLanes; ++l) sum += lanes[l];
  return sum;
}

MXQ_CLONES void measure_run(const float* x, int64_t n, Found* found) {
  float lo[kLanes], hi[kLanes], sum[kLanes], squares[kLanes];
  for (int l = 0; l < kLanes; ++l) {
    lo[l] = found->lo;
    hi[l] = found->hi;
    sum[l] = squares[l] = 0.f;
  }
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
    for (int l = 0; l < kLanes; ++l) {
      const float v = x[i + l];
      lo[l] = v < lo[l] ? v : lo[l];
      hi[l] = v > hi[l] ? v : hi[l];
      sum[l] += v;
      squares[l] += v * v;
    }
  }
  for (int l = 0; i < n; ++i, ++l) {
    const float v = x[i];
    lo[l] = v < lo[l] ? v : lo[l];
    hi[l] = v > hi[l] ? v : hi[l];
    sum[l] += v;
    squares[l] += v * v;
  }
  double run_sum = total(sum), run_squares = total(squares);
  const float least = *std::min_element(lo, lo + kLanes), most = *std::max_element(hi, hi + kLanes);
  const bool vanishes = run_squares < kSmallest && (least < 0.f || most > 0.f);
  if (!std::isfinite(run_sum) || !std::isfinite(run_squares) || vanishes) {  // not for float32, or NaN
    run_sum = run_squares = 0;
    for (int64_t j = 0; j < n; ++j) {
      run_sum += x[j];
      run_squares += static_cast<double>(x[j]) * x[j];
    }
  }
  *found = {least, most, found->sum + run_sum, found->squares + run_squares};
}

constexpr int64_t kLine = 16;     // neighbours that are counted together: a line of the cache
constexpr int64_t kBuffer = 256;  // values whose bins are found together

// Bins of values; 2 * num_bins for what lies outside. Returns how many are zero.
MXQ_CLONES int64_t find_bins(const float* x, int64_t n, float inverse_width, int32_t num_bins, int32_t* bins) {
  const float limit = static_cast<float>(num_bins);
  int32_t zeros = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float t = x[i] * inverse_width;
    const float inside = t > -limit && t < limit ? t : 0.f;
    const int32_t bin = static_cast<int32_t>(inside) - (x[i] < 0.f) + num_bins;
    bins[i] = t > -limit && t < limit ? bin : 2 * num_bins;
    zeros += x[i] == 0.f;
  }
  return zeros;
}

// Gathers values and counts them in the bins of all channels and of one.
struct Counter {
  float inverse_width, own_inverse_width;
  int32_t num_bins, own_bins;
  uint32_t* tables;  // two: neighbours are often equal, and counting them in turn does not wait for the last store
  int64_t* own;      // null: not wanted
  int64_t zeros = 0;
  int64_t size = 0;
  float values[kBuffer];

  void add(const float* x, int64_t n) {
    if (size + n > kBuffer) flush();
    for (int64_t i = 0; i < n; ++i) values[size + i] = x[i];
    size += n;
  }

  void flush() {
    int32_t bins[kBuffer];
    zeros += find_bins(values, size, inverse_width, num_bins, bins);
    const int64_t other = 2 * int64_t{num_bins} + 1;
    for (int64_t i = 0; i < size; ++i) ++tables[(i & 1) * other + bins[i]];
    if (own) {
      int64_t outside = 0;
      find_bins(values, size, own_inverse_width, own_bins, bins);
      for (int64_t i = 0; i < size; ++i) ++*(bins[i] < 2 * own_bins ? own + bins[i] : &outside);
    }
    size = 0;
  }
};

}  // namespace
}  // namespace mxq

// Extremes and sums of each plane of x (examples, channels, plane). A sum that is not finite: a value is not.
extern "C" void mxq_measure(const float* x, int64_t planes, int64_t plane, float* lo, float* hi, double* sums,
                            double* squares) noexcept {
  mxq::parallel_for(planes, plane * sizeof(float), [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      mxq::Found found = {x[p * plane], x[p * plane], 0, 0};
      for (int64_t i = 0; i < plane; i += mxq::kRun) {
        mxq::measure_run(x + p * plane + i, std::min(mxq::kRun, plane - i), &found);
      }
      lo[p] = found.lo;
      hi[p] = found.hi;
      sums[p] = found.sum;
      squares[p] = found.squares;
    }
  });
}

// Counts a share of 1 / stride of each plane of x (examples, channels, plane), from a place that depends on the
// channel and the example: runs of kLine values, or so few fewer that a plane has room for two of them.
//
// phases (examples): from 0 to below the stride, what an example moves its place by.
// counts[0..2 * num_bins): all channels together; its middle is zero. Values must lie inside.
// channel_counts (channels, 2 * channel_bins), zeros (channels): each channel with its own width; null: not wanted.
extern "C" void mxq_count(const float* x, int64_t examples, int64_t channels, int64_t plane, int64_t stride,
                          const int64_t* phases, float inverse_width, int32_t num_bins, int64_t* counts,
                          const float* channel_inverse_width, int32_t channel_bins, int64_t* channel_counts,
                          int64_t* zeros) noexcept {
  using mxq::kLine;
  std::mutex mutex;
  const int64_t run = stride == 1 ? kLine : std::clamp<int64_t>(plane / (2 * stride), 1, kLine);
  mxq::parallel_for(channels, examples * ((plane + stride - 1) / stride) * 16, [&](int64_t begin, int64_t end) {
    const int64_t size = 2 * int64_t{num_bins} + 1;
    std::vector<uint32_t> tables(2 * size);  // no call has 2**32 values for one bin
    mxq::Counter counter;
    counter.inverse_width = inverse_width;
    counter.num_bins = num_bins;
    counter.own_bins = channel_bins;
    counter.tables = tables.data();
    for (int64_t c = begin; c < end; ++c) {
      const int64_t place = static_cast<uint32_t>(c * 2654435761u) % stride;
      counter.own = channel_counts ? channel_counts + c * 2 * channel_bins : nullptr;
      counter.own_inverse_width = channel_counts ? channel_inverse_width[c] : 0.f;
      counter.zeros = 0;
      for (int64_t n = 0; n < examples; ++n) {
        const float* row = x + (n * channels + c) * plane;
        for (int64_t start = (place + phases[n]) % stride * run; start < plane; start += run * stride) {
          counter.add(row + start, std::min(run, plane - start));
        }
      }
      counter.flush();
      if (channel_counts) zeros[c] += counter.zeros;
    }
    std::lock_guard<std::mutex> lock(mutex);
    for (int64_t b = 0; b < size - 1; ++b) counts[b] += int64_t{tables[b]} + tables[size + b];
  });
}
