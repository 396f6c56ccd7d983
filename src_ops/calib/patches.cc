// Copies what a convolution multiplies at chosen positions; mxq/calib/samples.py calls this and is its plain meaning.
#include <cstdint>
#include <cstring>

#include "../cpu/parallel.h"

namespace mxq {
namespace {

// The upper half of a float32, rounded to nearest even: bfloat16.
inline uint16_t to_bfloat16(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace
}  // namespace mxq

// rows (count, channels, kernel[0], kernel[1]) from x (., channels, size[0], size[1]); zero outside of x.
//
// where (count, 3): the example and the first tap's position, which may lie on the padding.
extern "C" void mxq_patches(const float* x, int64_t channels, const int64_t* size, const int64_t* kernel,
                            const int64_t* dilate, const int64_t* where, int64_t count, uint16_t* rows) noexcept {
  const int64_t taps = kernel[0] * kernel[1];
  mxq::parallel_for(count, channels * taps * sizeof(float), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* image = x + where[3 * r] * channels * size[0] * size[1];
      uint16_t* row = rows + r * channels * taps;
      for (int64_t i = 0; i < kernel[0]; ++i) {
        for (int64_t j = 0; j < kernel[1]; ++j, ++row) {
          const int64_t y = where[3 * r + 1] + i * dilate[0], z = where[3 * r + 2] + j * dilate[1];
          const bool inside = y >= 0 && y < size[0] && z >= 0 && z < size[1];
          const float* value = image + y * size[1] + z;
          for (int64_t c = 0; c < channels; ++c) {
            row[c * taps] = inside ? mxq::to_bfloat16(value[c * size[0] * size[1]]) : 0;
          }
        }
      }
    }
  });
}
