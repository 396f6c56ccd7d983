// Sums and products of bytes with few instructions a value: bytes become floats by being put under the exponent of
// 2^23, and the activation's bounds are applied to the bytes of the result, 64 at a time (rounding keeps order, so
// clamping before and after it gives the same).
#include "elemwise_avx512.h"

// GCC 12 takes the deliberately undefined registers of its own header for a mistake.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <algorithm>
#include <cmath>

#define MXQ_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define MXQ_AVX512_INLINE MXQ_AVX512 __attribute__((always_inline)) inline

namespace mxq {
namespace {

constexpr float kTwo23 = 8388608.0f;

struct Lanes {
  __m512 subtract, multiplier;
};

// 16 bytes as floats with the zero point taken off.
template <bool kSigned>
MXQ_AVX512_INLINE __m512 centred(__m128i bytes, const Lanes& lanes) {
  if (kSigned) return _mm512_sub_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)), lanes.subtract);
  const __m512i exponent = _mm512_set1_epi32(0x4B000000);  // of 2^23, whose last bit is worth 1
  const __m512i spread = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i everywhere = _mm512_broadcast_i32x4(bytes);
  const __m512i bits = _mm512_mask_shuffle_epi8(exponent, 0x1111111111111111, everywhere, spread);
  return _mm512_sub_ps(_mm512_castsi512_ps(bits), lanes.subtract);
}

MXQ_AVX512_INLINE Lanes lanes_of(const Operand& x, bool is_signed) {
  const float zero_point = static_cast<float>(x.zero_point - x.flip);
  return {_mm512_set1_ps(is_signed ? zero_point : kTwo23 + zero_point), _mm512_set1_ps(x.multiplier)};
}

struct Constants {
  Lanes a, b;
  __m512 slope, zero_point, repeated;
};

template <bool kMul, bool kRepeatB, bool kSignedA, bool kSignedB, bool kLeaky>
MXQ_AVX512_INLINE __m512i rounded(__m128i a, __m128i b, const Constants& k) {
  const __m512 x = centred<kSignedA>(a, k.a);
  __m512 y = k.repeated, t;
  if (!kRepeatB) y = centred<kSignedB>(b, k.b);
  if (kMul) {
    t = _mm512_mul_ps(_mm512_mul_ps(x, y), k.a.multiplier);
  } else {
    if (!kRepeatB) y = _mm512_mul_ps(y, k.b.multiplier);
    t = _mm512_add_ps(_mm512_mul_ps(x, k.a.multiplier), y);
  }
  if (kLeaky) t = _mm512_mask_mul_ps(t, _mm512_cmp_ps_mask(t, _mm512_setzero_ps(), _CMP_LT_OQ), t, k.slope);
  return _mm512_cvt_roundps_epi32(_mm512_add_ps(t, k.zero_point), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

template <bool kMul, bool kRepeatB, bool kSignedA, bool kSignedB, bool kLeaky>
MXQ_AVX512 void loop(const uint8_t* a, const uint8_t* b, void* out, int64_t n, const ElemwiseTerms& p) {
  Constants k{lanes_of(p.a, kSignedA), lanes_of(p.b, kSignedB), _mm512_set1_ps(p.act.slope),
              _mm512_set1_ps(static_cast<float>(p.zero_point)), _mm512_setzero_ps()};
  if (kRepeatB) {
    const float value = static_cast<float>((b[0] ^ p.b.flip) - p.b.zero_point) * p.b.multiplier;
    k.repeated = _mm512_set1_ps(value);
  }
  const bool is_signed = p.out_type == DType::kInt8;
  const int least = round_clamp(p.act.low, p.zero_point, qmin(p.out_type), qmax(p.out_type));
  const int most = round_clamp(p.act.high, p.zero_point, qmin(p.out_type), qmax(p.out_type));
  const __m512i low = _mm512_set1_epi8(static_cast<char>(least)), high = _mm512_set1_epi8(static_cast<char>(most));
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  uint8_t* dst = static_cast<uint8_t*>(out);
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    __m512i part[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a + i + 16 * j));
      const __m128i y =
          kRepeatB ? _mm_setzero_si128() : _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + i + 16 * j));
      part[j] = rounded<kMul, kRepeatB, kSignedA, kSignedB, kLeaky>(x, y, k);
    }
    const __m512i first = _mm512_packs_epi32(part[0], part[1]), second = _mm512_packs_epi32(part[2], part[3]);
    __m512i bytes;
    if (is_signed) {
      bytes = _mm512_packs_epi16(first, second);
      bytes = _mm512_min_epi8(_mm512_max_epi8(bytes, low), high);
    } else {
      bytes = _mm512_packus_epi16(first, second);
      bytes = _mm512_min_epu8(_mm512_max_epu8(bytes, low), high);
    }
    _mm512_storeu_si512(dst + i, _mm512_permutexvar_epi32(order, bytes));
  }
  const __m512i wide_low = _mm512_set1_epi32(least), wide_high = _mm512_set1_epi32(most);
  for (; i < n; i += 16) {
    const __mmask16 live = static_cast<__mmask16>(n - i >= 16 ? 0xFFFF : (1 << (n - i)) - 1);
    const __m128i x = _mm_maskz_loadu_epi8(live, a + i);
    const __m128i y = kRepeatB ? _mm_setzero_si128() : _mm_maskz_loadu_epi8(live, b + i);
    const __m512i value = rounded<kMul, kRepeatB, kSignedA, kSignedB, kLeaky>(x, y, k);
    const __m512i clamped = _mm512_min_epi32(_mm512_max_epi32(value, wide_low), wide_high);
    _mm512_mask_cvtepi32_storeu_epi8(dst + i, live, clamped);
  }
}

template <bool kMul, bool kRepeatB, bool kSignedA, bool kSignedB>
ElemwiseLoop choose(bool leaky) {
  return leaky ? loop<kMul, kRepeatB, kSignedA, kSignedB, true> : loop<kMul, kRepeatB, kSignedA, kSignedB, false>;
}

template <bool kMul, bool kRepeatB>
ElemwiseLoop choose(bool signed_a, bool signed_b, bool leaky) {
  // The type of a value that repeats makes no difference to the loop.
  if (signed_b && !kRepeatB) {
    return signed_a ? choose<kMul, kRepeatB, true, !kRepeatB>(leaky) : choose<kMul, kRepeatB, false, !kRepeatB>(leaky);
  }
  return signed_a ? choose<kMul, kRepeatB, true, false>(leaky) : choose<kMul, kRepeatB, false, false>(leaky);
}

}  // namespace

ElemwiseLoop elemwise_avx512(bool mul, bool repeat_b, const ElemwiseTerms& p) {
  const float a = std::fabs(p.a.multiplier), b = std::fabs(p.b.multiplier);
  const float largest = mul ? 65025.0f * a : 255.0f * a + 255.0f * b;
  if (!(largest * std::max(1.0f, std::fabs(p.act.slope)) < 1e9f)) return nullptr;
  const bool leaky = p.act.slope != 1.0f, signed_a = p.a.flip != 0, signed_b = p.b.flip != 0;
  if (mul)
    return repeat_b ? choose<true, true>(signed_a, signed_b, leaky) : choose<true, false>(signed_a, signed_b, leaky);
  return repeat_b ? choose<false, true>(signed_a, signed_b, leaky) : choose<false, false>(signed_a, signed_b, leaky);
}

}  // namespace mxq
