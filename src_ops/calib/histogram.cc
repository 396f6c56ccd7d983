// Counts values into bins for calibration; mxq/calib/histogram.py calls it and is its plain meaning.
#include <algorithm>
#include <cstdint>
#include <mutex>
#include <vector>

#include "../cpu/clones.h"
#include "../cpu/parallel.h"

namespace mxq {
namespace {

constexpr int64_t kBlock = 2048;  // values whose bins are found before they are counted: stays in the first-level cache
constexpr int kTables = 4;        // neighbours are often equal; counting them in turn does not wait for the last store

struct Moments {
  float lo, hi;
  double sum, squares;
};

// bin = trunc(x * inverse_width) - (x < 0) + num_bins, or 2 * num_bins for what lies outside, NaN included.
MXQ_CLONES void find_bins(const float* x, int64_t n, float inverse_width, int32_t num_bins, int32_t* bins, Moments* m) {
  const float limit = static_cast<float>(num_bins);
  float lo = m->lo, hi = m->hi, sum = 0, squares = 0;
#pragma omp simd reduction(min : lo) reduction(max : hi) reduction(+ : sum, squares)
  for (int64_t i = 0; i < n; ++i) {
    const float v = x[i], t = v * inverse_width;
    const bool inside = t > -limit && t < limit;
    const float safe = inside ? t : 0.f;
    bins[i] = inside ? static_cast<int32_t>(safe) - (v < 0.f) + num_bins : 2 * num_bins;
    lo = v < lo ? v : lo;
    hi = v > hi ? v : hi;
    sum += safe;
    squares += safe * safe;
  }
  *m = {lo, hi, m->sum + sum, m->squares + squares};
}

}  // namespace
}  // namespace mxq

// Adds the values of x[0..n) to counts[0..2 * num_bins), whose middle is zero.
//
// moments: the sum and the sum of squares of the values inside, in units of the bin width (added to).
// range: the smallest and the largest value (both are kept where they are more extreme already).
// Returns how many values lie outside of all bins or are NaN; those are in no count and no sum.
extern "C" int64_t mxq_histogram(const float* x, int64_t n, float inverse_width, int32_t num_bins, int64_t* counts,
                                 double* moments, float* range) noexcept {
  using mxq::kBlock;
  using mxq::kTables;
  std::mutex mutex;
  int64_t outside = 0;
  const int64_t blocks = (n + kBlock - 1) / kBlock;
  mxq::parallel_for(blocks, kBlock * sizeof(float), [&](int64_t begin, int64_t end) {
    const int64_t size = 2 * int64_t{num_bins} + 1;
    std::vector<uint32_t> tables(kTables * size);  // no call has 2**32 values for one bin
    int32_t bins[kBlock];
    mxq::Moments m = {range[0], range[1], 0, 0};
    for (int64_t block = begin; block < end; ++block) {
      const int64_t start = block * kBlock, count = std::min(kBlock, n - start);
      mxq::find_bins(x + start, count, inverse_width, num_bins, bins, &m);
      int64_t i = 0;
      for (; i + kTables <= count; i += kTables) {
        for (int t = 0; t < kTables; ++t) ++tables[t * size + bins[i + t]];
      }
      for (; i < count; ++i) ++tables[bins[i]];
    }
    std::lock_guard<std::mutex> lock(mutex);
    for (int t = 0; t < kTables; ++t) {
      for (int64_t b = 0; b < size - 1; ++b) counts[b] += tables[t * size + b];
      outside += tables[t * size + size - 1];
    }
    moments[0] += m.sum;
    moments[1] += m.squares;
    range[0] = std::min(range[0], m.lo);
    range[1] = std::max(range[1], m.hi);
  });
  return outside;
}
