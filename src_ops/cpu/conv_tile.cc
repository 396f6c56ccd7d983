#include "conv_tile.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "tile_stage_avx512.h"

#define MXQ_VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

namespace mxq {
namespace tiles {
namespace {

// The intrinsic, but in place: GCC 12 moves its sums to other registers and into memory.
MXQ_VNNI inline __attribute__((always_inline)) void multiply_add(__m512i* acc, __m512i x, __m512i w) {
  asm("vpdpbusd %2, %1, %0" : "+v"(*acc) : "v"(x), "v"(w));
}

// kZero: zero points of the output and the residual are added and taken off.
template <int P, int V, Out kOut, bool kSum, bool kSlope, bool kFlip, bool kZero>
MXQ_VNNI void tile(const Tile& t, const Runs& runs, const Stage& stage) {
  __m512i acc[P][V];
  MXQ_UNROLL for (int p = 0; p < P; ++p) {
    MXQ_UNROLL for (int v = 0; v < V; ++v) acc[p][v] = _mm512_load_si512(t.start + v * kLanes);
  }
  const uint8_t* x[P];
  const __m512i flip = _mm512_set1_epi8(-128);
  MXQ_UNROLL for (int p = 0; p < P; ++p) x[p] = t.x[p];
  for (int64_t r = 0; r < runs.count; ++r) {
    const int8_t* w = t.weights + runs.word_at[r] * V * 64;
    const int64_t begin = runs.at[r], end = begin + 4 * runs.words;
    for (int64_t at = begin; at < end; at += 4, w += V * 64) {
      __m512i weights[V];
      MXQ_UNROLL for (int v = 0; v < V; ++v) {
        weights[v] = _mm512_load_si512(w + v * 64);
        asm("" : "+v"(weights[v]));  // GCC 12 would load them again for every pixel
      }
      MXQ_UNROLL for (int p = 0; p < P; ++p) {
        int32_t word;
        std::memcpy(&word, x[p] + at, 4);
        __m512i four = _mm512_set1_epi32(word);
        if (kFlip) four = _mm512_xor_si512(four, flip);
        MXQ_UNROLL for (int v = 0; v < V; ++v) multiply_add(&acc[p][v], four, weights[v]);
      }
    }
  }
  finish<P, V, kOut, kSum, kSlope, kZero>(acc, P, t, stage);
}

template <int V, Out kOut, bool kSum, bool kSlope, bool kFlip, bool kZero, int... kBefore>
void fill(TileLoop* of, std::integer_sequence<int, kBefore...>) {
  const TileLoop loops[] = {tile<kBefore + 1, V, kOut, kSum, kSlope, kFlip, kZero>...};
  std::copy(std::begin(loops), std::end(loops), of);
}

template <Out kOut, bool kSum, bool kSlope, bool kFlip, bool kZero>
TileLoops loops() {
  TileLoops made;
  fill<1, kOut, kSum, kSlope, kFlip, kZero>(made.of[0], std::make_integer_sequence<int, pixels_of(1)>());
  fill<2, kOut, kSum, kSlope, kFlip, kZero>(made.of[1], std::make_integer_sequence<int, pixels_of(2)>());
  fill<3, kOut, kSum, kSlope, kFlip, kZero>(made.of[2], std::make_integer_sequence<int, pixels_of(3)>());
  fill<4, kOut, kSum, kSlope, kFlip, kZero>(made.of[3], std::make_integer_sequence<int, pixels_of(4)>());
  return made;
}

// Only what is frequent has no zero points: neither int8 that is read where it lies nor slopes, which leave int8.
template <Out kOut, bool kSum>
TileLoops choose(bool slope, bool flip, bool zero) {
  if (slope) return flip ? loops<kOut, kSum, true, true, true>() : loops<kOut, kSum, true, false, true>();
  if (flip) return loops<kOut, kSum, false, true, true>();
  return zero ? loops<kOut, kSum, false, false, true>() : loops<kOut, kSum, false, false, false>();
}

template <bool kSlope>
TileLoops choose_float(bool flip) {
  return flip ? loops<Out::kFloat, false, kSlope, true, false>() : loops<Out::kFloat, false, kSlope, false, false>();
}

}  // namespace

TileLoops choose(const StageKind& kind, bool flip) {
  const bool slope = kind.slope, zero = kind.zero;
  if (kind.out == Out::kFloat) return slope ? choose_float<true>(flip) : choose_float<false>(flip);
  if (kind.out == Out::kInt8) {
    return kind.sum ? choose<Out::kInt8, true>(slope, flip, zero) : choose<Out::kInt8, false>(slope, flip, zero);
  }
  return kind.sum ? choose<Out::kUint8, true>(slope, flip, zero) : choose<Out::kUint8, false>(slope, flip, zero);
}

}  // namespace tiles
}  // namespace mxq
