#include "bytes.h"

#include <emmintrin.h>
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "../core/qmath.h"
#include "clones.h"

namespace mxq {
namespace {

// 16 x 16 bytes in registers: four rounds of interleaving, SSE2 only, which every x86-64 has.
inline void transpose_registers(__m128i* a) {
  __m128i b[16];
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 8; ++i) {
      b[2 * i] = _mm_unpacklo_epi8(a[i], a[i + 8]);
      b[2 * i + 1] = _mm_unpackhi_epi8(a[i], a[i + 8]);
    }
    std::memcpy(a, b, sizeof(b));
  }
}

inline void transpose16(const uint8_t* src, ptrdiff_t src_stride, uint8_t* dst, ptrdiff_t dst_stride) {
  __m128i a[16];
  for (int i = 0; i < 16; ++i) a[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(src + i * src_stride));
  transpose_registers(a);
  for (int i = 0; i < 16; ++i) _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + i * dst_stride), a[i]);
}

// The first n bytes, and no other memory.
inline __m128i load_part(const uint8_t* from, int64_t n) {
  alignas(16) uint8_t bytes[16] = {};
  uint8_t* to = bytes;
  if (n & 16) return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  if (n & 8) std::memcpy(to, from, 8), to += 8, from += 8;
  if (n & 4) std::memcpy(to, from, 4), to += 4, from += 4;
  if (n & 2) std::memcpy(to, from, 2), to += 2, from += 2;
  if (n & 1) *to = *from;
  return _mm_load_si128(reinterpret_cast<const __m128i*>(bytes));
}

inline void store_part(__m128i value, uint8_t* to, int64_t n) {
  if (n & 16) return _mm_storeu_si128(reinterpret_cast<__m128i*>(to), value);
  alignas(16) uint8_t bytes[16];
  _mm_store_si128(reinterpret_cast<__m128i*>(bytes), value);
  const uint8_t* from = bytes;
  if (n & 8) std::memcpy(to, from, 8), to += 8, from += 8;
  if (n & 4) std::memcpy(to, from, 4), to += 4, from += 4;
  if (n & 2) std::memcpy(to, from, 2), to += 2, from += 2;
  if (n & 1) *to = *from;
}

// The same of up to 16 rows and columns.
void transpose_part(const uint8_t* src, ptrdiff_t src_stride, uint8_t* dst, ptrdiff_t dst_stride, int64_t rows,
                    int64_t cols) {
  __m128i a[16] = {};
  for (int64_t i = 0; i < rows; ++i) a[i] = load_part(src + i * src_stride, cols);
  transpose_registers(a);
  for (int64_t i = 0; i < cols; ++i) store_part(a[i], dst + i * dst_stride, rows);
}

// Images: few channels, so that one side of the transposition is 2 to 4 wide and dense.
template <int N>
inline void interleave(const uint8_t* src, ptrdiff_t stride, uint8_t* __restrict dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    for (int k = 0; k < N; ++k) dst[i * N + k] = src[k * stride + i];
  }
}

template <int N>
inline void deinterleave(const uint8_t* __restrict src, uint8_t* __restrict dst, ptrdiff_t stride, int64_t n) {
  for (int k = 0; k < N; ++k) {
    for (int64_t i = 0; i < n; ++i) dst[k * stride + i] = src[i * N + k];
  }
}

MXQ_CLONES void interleave2(const uint8_t* src, ptrdiff_t stride, uint8_t* dst, int64_t n) {
  interleave<2>(src, stride, dst, n);
}
MXQ_CLONES void interleave3(const uint8_t* src, ptrdiff_t stride, uint8_t* dst, int64_t n) {
  interleave<3>(src, stride, dst, n);
}
MXQ_CLONES void interleave4(const uint8_t* src, ptrdiff_t stride, uint8_t* dst, int64_t n) {
  interleave<4>(src, stride, dst, n);
}
MXQ_CLONES void interleave6(const uint8_t* src, ptrdiff_t stride, uint8_t* dst, int64_t n) {
  interleave<6>(src, stride, dst, n);
}
MXQ_CLONES void deinterleave2(const uint8_t* src, uint8_t* dst, ptrdiff_t stride, int64_t n) {
  deinterleave<2>(src, dst, stride, n);
}
MXQ_CLONES void deinterleave3(const uint8_t* src, uint8_t* dst, ptrdiff_t stride, int64_t n) {
  deinterleave<3>(src, dst, stride, n);
}
MXQ_CLONES void deinterleave4(const uint8_t* src, uint8_t* dst, ptrdiff_t stride, int64_t n) {
  deinterleave<4>(src, dst, stride, n);
}

template <int64_t kBytes>
void copy_short_runs(const uint8_t* src, ptrdiff_t src_stride, uint8_t* dst, int64_t rows, int64_t n) {
  const int64_t step = std::min<int64_t>(n, src_stride), most = (kBytes - n + step - 1) / step;
  const int64_t loose = std::max<int64_t>(0, rows - most);
  for (int64_t r = 0; r < loose; ++r, src += src_stride, dst += n) std::memcpy(dst, src, kBytes);
  for (int64_t r = loose; r < rows; ++r, src += src_stride, dst += n) std::memcpy(dst, src, n);
}

void map_bytes_plain(const uint8_t* src, uint8_t* dst, int64_t n, const uint8_t* table) {
  for (int64_t i = 0; i < n; ++i) dst[i] = table[src[i]];
}

// 64 look-ups at a time: two permutes of 128 entries each, the top bit of the index chooses between them.
__attribute__((target("avx512vbmi,avx512bw,avx512f"))) void map_bytes_vbmi(const uint8_t* src, uint8_t* dst, int64_t n,
                                                                           const uint8_t* table) {
  const __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64);
  const __m512i t2 = _mm512_loadu_si512(table + 128), t3 = _mm512_loadu_si512(table + 192);
  for (int64_t i = 0; i < n; i += 64) {
    const __mmask64 live = n - i >= 64 ? ~__mmask64{0} : (__mmask64{1} << (n - i)) - 1;
    const __m512i index = _mm512_maskz_loadu_epi8(live, src + i);
    const __m512i low = _mm512_permutex2var_epi8(t0, index, t1);
    const __m512i high = _mm512_permutex2var_epi8(t2, index, t3);
    _mm512_mask_storeu_epi8(dst + i, live, _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high));
  }
}

// Adding this to a float of small absolute value leaves its nearest integer (half to even) in the low mantissa bits.

MXQ_CLONES void quantize_loop(const float* __restrict src, uint8_t* __restrict dst, int64_t n, float inverse,
                              float zero_point, float lo, float hi) {
  for (int64_t i = 0; i < n; ++i) {
    float t = src[i] * inverse;
    t = t + zero_point;
    // Clamping before rounding gives the same as after, as both ends are integers; a NaN compares false: smallest.
    t = t > lo ? t : lo;
    t = t < hi ? t : hi;
    const float shifted = t + kRoundToBits;
    int32_t bits;
    std::memcpy(&bits, &shifted, sizeof(bits));
    dst[i] = static_cast<uint8_t>(bits);
  }
}

MXQ_CLONES void add_scalar(const float* src, float* dst, int64_t n, float s) {
  for (int64_t i = 0; i < n; ++i) dst[i] = src[i] + s;
}
MXQ_CLONES void multiply_scalar(const float* src, float* dst, int64_t n, float s) {
  for (int64_t i = 0; i < n; ++i) dst[i] = src[i] * s;
}
MXQ_CLONES void divide_scalar(const float* src, float* dst, int64_t n, float s) {
  for (int64_t i = 0; i < n; ++i) dst[i] = src[i] / s;
}

MXQ_CLONES void dequantize_i8(const int8_t* __restrict src, float* __restrict dst, int64_t n, float scale,
                              int zero_point) {
  for (int64_t i = 0; i < n; ++i) dst[i] = static_cast<float>(src[i] - zero_point) * scale;
}

MXQ_CLONES void dequantize_u8(const uint8_t* __restrict src, float* __restrict dst, int64_t n, float scale,
                              int zero_point) {
  for (int64_t i = 0; i < n; ++i) dst[i] = static_cast<float>(src[i] - zero_point) * scale;
}

// Sixteen running minima and maxima, which the compiler keeps in registers (a single one would have to be exact about
// the order of NaNs). x - x is 0 for finite x and NaN otherwise.
MXQ_CLONES bool finite_range_loop(const float* src, int64_t n, float* lo, float* hi) {
  constexpr int kLanes = 16;
  float low[kLanes], high[kLanes], odd[kLanes];
  for (int k = 0; k < kLanes; ++k) {
    low[k] = high[k] = src[0];
    odd[k] = 0.0f;
  }
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) {
      const float x = src[i + k];
      low[k] = x < low[k] ? x : low[k];
      high[k] = x > high[k] ? x : high[k];
      odd[k] += x - x;
    }
  }
  for (int k = 0; i < n; ++i, ++k) {
    const float x = src[i];
    low[k] = x < low[k] ? x : low[k];
    high[k] = x > high[k] ? x : high[k];
    odd[k] += x - x;
  }
  *lo = *std::min_element(low, low + kLanes);
  *hi = *std::max_element(high, high + kLanes);
  bool finite = true;
  for (int k = 0; k < kLanes; ++k) finite = finite && odd[k] == 0.0f;
  return finite;
}

}  // namespace

void transpose_bytes(const uint8_t* src, ptrdiff_t src_stride, uint8_t* dst, ptrdiff_t dst_stride, int64_t rows,
                     int64_t cols) {
  if (rows == 1 && dst_stride == 1) {
    std::memcpy(dst, src, cols);
    return;
  }
  if (cols == 1 && src_stride == 1) {
    std::memcpy(dst, src, rows);
    return;
  }
  if (rows == dst_stride) {
    if (rows == 2) return interleave2(src, src_stride, dst, cols);
    if (rows == 3) return interleave3(src, src_stride, dst, cols);
    if (rows == 4) return interleave4(src, src_stride, dst, cols);
    if (rows == 6) return interleave6(src, src_stride, dst, cols);  // three colours in two parts
  }
  if (cols == src_stride) {
    if (cols == 2) return deinterleave2(src, dst, dst_stride, rows);
    if (cols == 3) return deinterleave3(src, dst, dst_stride, rows);
    if (cols == 4) return deinterleave4(src, dst, dst_stride, rows);
  }
  // Where blocks do not fit, the last one begins earlier; what two of them write is the same.
  const bool parts = rows < 16 || cols < 16;
  for (int64_t c = 0; c < cols; c += 16) {
    const int64_t at_c = cols < 16 ? 0 : std::min(c, cols - 16);
    for (int64_t r = 0; r < rows; r += 16) {
      const int64_t at_r = rows < 16 ? 0 : std::min(r, rows - 16);
      const uint8_t* const from = src + at_r * src_stride + at_c;
      uint8_t* const to = dst + at_c * dst_stride + at_r;
      if (parts) {
        transpose_part(from, src_stride, to, dst_stride, std::min<int64_t>(rows, 16), std::min<int64_t>(cols, 16));
      } else {
        transpose16(from, src_stride, to, dst_stride);
      }
    }
  }
}

void copy_runs(const uint8_t* src, ptrdiff_t src_stride, uint8_t* dst, int64_t rows, int64_t n) {
  if (src_stride > 0 && n > 0 && n <= 64) {
    if (n <= 8) return copy_short_runs<8>(src, src_stride, dst, rows, n);
    if (n <= 16) return copy_short_runs<16>(src, src_stride, dst, rows, n);
    if (n <= 32) return copy_short_runs<32>(src, src_stride, dst, rows, n);
    return copy_short_runs<64>(src, src_stride, dst, rows, n);
  }
  for (int64_t r = 0; r < rows; ++r) std::memcpy(dst + r * n, src + r * src_stride, n);
}

void map_bytes(const uint8_t* src, uint8_t* dst, int64_t n, const uint8_t* table) {
  static const bool has_vbmi = __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512bw");
  (has_vbmi ? map_bytes_vbmi : map_bytes_plain)(src, dst, n, table);
}

void quantize_row(const float* src, uint8_t* dst, int64_t n, float inverse_scale, const QParams& to, DType dtype) {
  quantize_loop(src, dst, n, inverse_scale, static_cast<float>(to.zero_point), static_cast<float>(qmin(dtype)),
                static_cast<float>(qmax(dtype)));
}

void apply_scalars(const Scalars& scalars, const float* src, float* dst, int64_t n) {
  for (int i = 0; i < scalars.count; ++i, src = dst) {
    const float s = scalars.number[i];
    switch (scalars.op[i]) {
      case '*':
        multiply_scalar(src, dst, n, s);
        break;
      case '/':
        divide_scalar(src, dst, n, s);
        break;
      default:
        add_scalar(src, dst, n, scalars.op[i] == '-' ? -s : s);
    }
  }
}

void dequantize_row(const uint8_t* src, float* dst, int64_t n, const QParams& from, DType dtype) {
  if (dtype == DType::kInt8) {
    dequantize_i8(reinterpret_cast<const int8_t*>(src), dst, n, from.scale, from.zero_point);
  } else {
    dequantize_u8(src, dst, n, from.scale, from.zero_point);
  }
}

bool finite_range(const float* src, int64_t n, float* lo, float* hi) { return finite_range_loop(src, n, lo, hi); }

}  // namespace mxq
