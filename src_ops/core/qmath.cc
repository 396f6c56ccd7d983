#include "qmath.h"

#include <algorithm>
#include <limits>

#include "check.h"

namespace mxq {

QParams range_to_qparams(double lo, double hi, DType dtype) {
  MXQ_CHECK(std::isfinite(lo) && std::isfinite(hi) && lo <= hi,
            "range (" << lo << ", " << hi << "): both ends must be finite and in order");
  MXQ_CHECK(dtype == DType::kInt8 || dtype == DType::kUint8,
            "dtype " << name_of(dtype) << ": accepted are int8 and uint8");
  const bool is_signed = dtype == DType::kInt8;
  const double levels = is_signed ? 127.0 : 255.0;
  if (!is_signed) {
    lo = std::min(lo, 0.0);
    hi = std::max(hi, 0.0);
  }
  const double span = is_signed ? std::max(std::fabs(lo), std::fabs(hi)) : hi - lo;
  float scale = static_cast<float>(span / levels);
  // Zero, or so small that its reciprocal overflows.
  if (!(scale >= std::numeric_limits<float>::min())) scale = 1.0f;
  int zero_point = 0;
  if (!is_signed) {
    const double z = std::nearbyint(-lo / static_cast<double>(scale));
    zero_point = static_cast<int>(std::min(std::max(z, 0.0), levels));
  }
  return {scale, zero_point};
}

}  // namespace mxq
