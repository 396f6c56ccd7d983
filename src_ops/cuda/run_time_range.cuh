// Smallest and largest of values that only the device knows, and the scale that follows.
#pragma once

#include "arithmetic.cuh"
#include "fault.h"

namespace mxq {
namespace cuda {

// In device memory. Floats as integers that order alike, so that atomic minima and maxima do.
struct Range {
  int low, high;
  float inverse;
  int zero_point;
};

__device__ inline int ordered(float x) {
  const int i = __float_as_int(x);
  return i >= 0 ? i : i ^ 0x7FFFFFFF;
}
__device__ inline float unordered(int i) { return __int_as_float(i >= 0 ? i : i ^ 0x7FFFFFFF); }

__device__ inline double nearest_even(double x) { return rint(x); }

// Twin of range_to_qparams.
__device__ inline void qparams_of(double lo, double hi, int is_signed, float* scale, int* zero_point) {
  const double levels = is_signed ? 127.0 : 255.0;
  if (!is_signed) {
    lo = lo < 0.0 ? lo : 0.0;
    hi = hi > 0.0 ? hi : 0.0;
  }
  const double a = fabs(lo), b = fabs(hi);
  const double span = is_signed ? (a > b ? a : b) : hi - lo;
  *scale = static_cast<float>(__ddiv_rn(span, levels));
  if (!(*scale >= 1.17549435e-38f)) *scale = 1.0f;
  *zero_point = 0;
  if (!is_signed) {
    double z = nearest_even(__ddiv_rn(-lo, static_cast<double>(*scale)));
    z = z > 0.0 ? z : 0.0;
    *zero_point = static_cast<int>(z < levels ? z : levels);
  }
}

// The same for a range that is an input of the operator.
__device__ inline void range_given(float lo, float hi, int is_signed, const FaultSink& fault, float* scale,
                                   int* zero_point) {
  *scale = 1.0f;
  *zero_point = 0;
  if (is_finite(lo) && is_finite(hi) && lo <= hi) {
    qparams_of(lo, hi, is_signed, scale, zero_point);
  } else {
    report(fault, Found::kRange, 0, is_finite(lo) ? hi : lo);
  }
}

struct RangeEnds {
  Range* range;
  float *low, *high;  // outputs (1,) of the operator
  int is_signed, is_empty;
};

// Before and after the values have been looked at.
void launch_start_range(const RangeEnds& ends, cudaStream_t stream);
void launch_end_range(const RangeEnds& ends, cudaStream_t stream);

// Params has value(at), size, range and fault.
template <class Params>
__global__ void range_kernel(Params p) {
  int low = 0x7FFFFFFF, high = -0x7FFFFFFF - 1;
  for (unsigned at = flat_index(); at < p.size; at += gridDim.x * blockDim.x) {
    const float x = p.value(at);
    if (!is_finite(x)) report(p.fault, Found::kNotFinite, static_cast<int>(at), x);
    const int i = ordered(x);
    low = i < low ? i : low;
    high = i > high ? i : high;
  }
  for (int lane = 16; lane > 0; lane /= 2) {
    const int other_low = __shfl_xor_sync(0xFFFFFFFFu, low, lane),
              other_high = __shfl_xor_sync(0xFFFFFFFFu, high, lane);
    low = other_low < low ? other_low : low;
    high = other_high > high ? other_high : high;
  }
  if (threadIdx.x % 32 == 0) {
    atomicMin(&p.range->low, low);
    atomicMax(&p.range->high, high);
  }
}

template <class Params>
void launch_range(const Params& p, const RangeEnds& ends, cudaStream_t stream) {
  launch_start_range(ends, stream);
  if (p.size > 0) {
    const unsigned most = 8u * chip().multiprocessors, blocks = divide_up<unsigned>(p.size, kThreads * 4);
    launch(range_kernel<Params>, dim3(blocks < most ? blocks : most), dim3(kThreads), 0, stream, p);
  }
  launch_end_range(ends, stream);
}

}  // namespace cuda
}  // namespace mxq
