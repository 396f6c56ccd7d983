// The output stage on AVX-512, of sums that are in registers: what conv_tile.cc and winograd_stage.cc have inside.
#pragma once

#include "tile_stage.h"

// GCC 12 takes the deliberately undefined registers of its own header for a mistake.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#define MXQ_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define MXQ_UNROLL _Pragma("GCC unroll 8")

namespace mxq {
namespace tiles {
namespace {

// Packing joins four 32-bit words of each vector in every 128-bit lane. The words of V vectors' bytes, 4 V in a lane,
// to their places in memory, and back: to where the lane `i / 4` has word `i % 4`.
template <int V>
MXQ_AVX512 inline __attribute__((always_inline)) __m512i close_up(__m512i bytes) {
  if (V == 3)
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 3, 3, 3), bytes);
  if (V == 2) return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 0, 2, 4, 6), bytes);
  return bytes;
}

template <int V>
MXQ_AVX512 inline __attribute__((always_inline)) __m512i to_lanes(__m512i bytes) {
  if (V == 3)
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 11, 11), bytes);
  if (V == 2) return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3), bytes);
  return bytes;
}

// The first `pixels` of P, each with V vectors. kZero: zero points of the output and the residual are added and taken
// off.
template <int P, int V, Out kOut, bool kSum, bool kSlope, bool kZero>
MXQ_AVX512 inline __attribute__((always_inline)) void finish(const __m512i (&acc)[P][V], int pixels, const Places& t,
                                                             const Stage& stage) {
  const __m512 zero = _mm512_set1_ps(stage.zero_point), sum_zero = _mm512_set1_ps(stage.sum_zero_point);
  const __m512 sum_multiplier = _mm512_set1_ps(stage.sum_multiplier);
  const __m512i low = _mm512_set1_epi8(static_cast<char>(stage.low));
  const __m512i high = _mm512_set1_epi8(static_cast<char>(stage.high));
  const __m512i sum_flip = _mm512_set1_epi8(static_cast<char>(stage.sum_flip));
  const __m512i spread = _mm512_set4_epi32(0x80808003, 0x80808002, 0x80808001, 0x80808000);  // byte i to word i
  __m512i residual[P];  // all before the first store: loads behind it would wait for what a masked store may touch
  MXQ_UNROLL for (int p = 0; kSum && p < P; ++p) {
    if (p >= pixels) continue;
    residual[p] = to_lanes<V>(_mm512_xor_si512(_mm512_maskz_loadu_epi8(t.live, t.residual[p]), sum_flip));
  }
  MXQ_UNROLL for (int p = 0; p < P; ++p) {
    if (p >= pixels) break;
    __m512i q[V];
    MXQ_UNROLL for (int v = 0; v < V; ++v) {
      __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(acc[p][v]), _mm512_load_ps(t.multiplier + v * kLanes));
      y = _mm512_add_ps(y, _mm512_load_ps(t.bias + v * kLanes));
      if (kSum) {
        const __m512i bytes = V == 1
                                  ? _mm512_cvtepu8_epi32(_mm512_castsi512_si128(residual[p]))
                                  : _mm512_shuffle_epi8(residual[p], _mm512_add_epi8(spread, _mm512_set1_epi32(4 * v)));
        __m512 centred = _mm512_cvtepi32_ps(bytes);
        if (kZero) centred = _mm512_sub_ps(centred, sum_zero);
        y = _mm512_fmadd_ps(centred, sum_multiplier, y);
      }
      if (kSlope) {
        const __mmask16 negative = _mm512_cmp_ps_mask(y, _mm512_setzero_ps(), _CMP_LT_OQ);
        y = _mm512_mask_mul_ps(y, negative, y, _mm512_load_ps(t.slope + v * kLanes));
      }
      if (kOut == Out::kFloat) {
        y = _mm512_min_ps(_mm512_max_ps(y, _mm512_set1_ps(stage.low_value)), _mm512_set1_ps(stage.high_value));
        const auto live = static_cast<__mmask16>(t.live >> (v * kLanes));
        _mm512_mask_storeu_ps(t.out[p] + v * 64, live, y);
      } else {
        if (kZero) y = _mm512_add_ps(y, zero);
        q[v] = _mm512_cvt_roundps_epi32(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
      }
    }
    if (kOut == Out::kFloat) continue;
    if (V > 1) {
      const __m512i first = _mm512_packs_epi32(q[0], q[V > 1]),
                    second = V == 2 ? first : _mm512_packs_epi32(q[V > 2 ? 2 : 0], q[V - 1]);
      __m512i bytes;
      if (kOut == Out::kInt8) {
        bytes = _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(first, second), low), high);
      } else {
        bytes = _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(first, second), low), high);
      }
      _mm512_mask_storeu_epi8(t.out[p], t.live, close_up<V>(bytes));
    } else {
      __m128i bytes;
      if (kOut == Out::kInt8) {
        bytes = _mm_min_epi8(_mm_max_epi8(_mm512_cvtsepi32_epi8(q[0]), _mm512_castsi512_si128(low)),
                             _mm512_castsi512_si128(high));
      } else {
        bytes = _mm512_cvtusepi32_epi8(_mm512_max_epi32(q[0], _mm512_setzero_si512()));
        bytes = _mm_min_epu8(_mm_max_epu8(bytes, _mm512_castsi512_si128(low)), _mm512_castsi512_si128(high));
      }
      _mm_mask_storeu_epi8(t.out[p], static_cast<__mmask16>(t.live), bytes);
    }
  }
}

}  // namespace
}  // namespace tiles
}  // namespace mxq
