#include "run_time_range.cuh"

namespace mxq {
namespace cuda {
namespace {

__global__ void start_range_kernel(RangeEnds p) {
  p.range->low = 0x7FFFFFFF;
  p.range->high = -0x7FFFFFFF - 1;
}

__global__ void end_range_kernel(RangeEnds p) {
  const float lo = p.is_empty ? 0.0f : unordered(p.range->low), hi = p.is_empty ? 0.0f : unordered(p.range->high);
  *p.low = lo;
  *p.high = hi;
  float scale = 1.0f;
  int zero_point = 0;
  if (is_finite(lo) && is_finite(hi)) qparams_of(lo, hi, p.is_signed, &scale, &zero_point);
  p.range->inverse = __fdiv_rn(1.0f, scale);
  p.range->zero_point = zero_point;
}

}  // namespace

void launch_start_range(const RangeEnds& ends, cudaStream_t stream) {
  launch(start_range_kernel, dim3(1), dim3(1), 0, stream, ends);
}

void launch_end_range(const RangeEnds& ends, cudaStream_t stream) {
  launch(end_range_kernel, dim3(1), dim3(1), 0, stream, ends);
}

}  // namespace cuda
}  // namespace mxq
