// What calibration knows of each channel of a tensor; mxq/calib/channels.py calls this and is its plain meaning.
#include <algorithm>
#include <cmath>
#include <cstdint>

namespace mxq {
namespace {

// The counts of a channel, zero in their middle, in bins that are 2**doublings times as wide.
void make_coarser(int64_t* counts, int64_t bins, int64_t doublings) {
  const int64_t group = std::min(int64_t{1} << std::min<int64_t>(doublings, 62), bins);
  int64_t* const middle = counts + bins;
  for (int64_t b = 0; b < bins; ++b) {
    int64_t above = 0, below = 0;
    for (int64_t i = b * group; i < std::min((b + 1) * group, bins); ++i) {
      above += middle[i];
      below += middle[-1 - i];
    }
    middle[b] = above;
    middle[-1 - b] = below;
  }
}

}  // namespace
}  // namespace mxq

// Adds extremes (examples, channels) of a batch to those of each channel and to the peaks of the examples' parts
// (., channels), and makes bins wider until all values fit: the smallest exponent >= least with a largest magnitude
// below bins * 2**exponent. Sets the reciprocal of their width.
extern "C" void mxq_add_extremes(const float* lo, const float* hi, const int64_t* parts, int64_t examples,
                                 int64_t channels, float* min, float* max, float* peaks, int64_t* exponents,
                                 int64_t least, int64_t* counts, int64_t bins, float* inverse_width) noexcept {
  for (int64_t n = 0; n < examples; ++n) {
    float* peak = peaks + parts[n] * channels;
    for (int64_t c = 0; c < channels; ++c) {
      const float low = lo[n * channels + c], high = hi[n * channels + c];
      min[c] = std::min(min[c], low);
      max[c] = std::max(max[c], high);
      peak[c] = std::max(peak[c], std::max(-low, high));
    }
  }
  const int64_t digits = std::lround(std::log2(bins));
  for (int64_t c = 0; c < channels; ++c) {
    const float largest = std::max(-min[c], max[c]);
    if (largest >= std::ldexp(static_cast<float>(bins), static_cast<int>(exponents[c]))) {
      int exponent;
      std::frexp(largest, &exponent);
      const int64_t wanted = std::max(exponent - digits, least);
      mxq::make_coarser(counts + c * 2 * bins, bins, wanted - exponents[c]);
      exponents[c] = wanted;
    }
    inverse_width[c] = std::ldexp(1.f, static_cast<int>(-exponents[c]));
  }
}
