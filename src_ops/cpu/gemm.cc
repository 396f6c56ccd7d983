#include "gemm.h"

#include <immintrin.h>

#include <cstring>

#include "clones.h"

namespace mxq {
namespace {

constexpr int kPanel = GemmColumns::kPanel;
constexpr int kRowsSse2 = 2, kRowsAvx2 = 6, kRowsAvx512 = 12;

inline int32_t load_pair(const int16_t* a) {
  int32_t pair;
  std::memcpy(&pair, a, sizeof(pair));
  return pair;
}

// One tile of kRows x 16 per instruction set. The bodies differ only in the vectors' width.
template <int kRows>
struct Sse2 {
  static void run(const int16_t* a, int64_t a_stride, const int8_t* panel, int64_t pairs, int32_t* acc,
                  int64_t acc_stride) {
    __m128i sum[kRows][4];
    for (auto& row : sum) {
      for (auto& s : row) s = _mm_setzero_si128();
    }
    for (int64_t p = 0; p < pairs; ++p) {
      __m128i b[4];
      for (int half = 0; half < 2; ++half) {
        const __m128i raw = _mm_loadu_si128(reinterpret_cast<const __m128i*>(panel + p * 2 * kPanel) + half);
        b[2 * half] = _mm_srai_epi16(_mm_unpacklo_epi8(raw, raw), 8);
        b[2 * half + 1] = _mm_srai_epi16(_mm_unpackhi_epi8(raw, raw), 8);
      }
      for (int r = 0; r < kRows; ++r) {
        const __m128i pair = _mm_set1_epi32(load_pair(a + r * a_stride + 2 * p));
        for (int v = 0; v < 4; ++v) sum[r][v] = _mm_add_epi32(sum[r][v], _mm_madd_epi16(pair, b[v]));
      }
    }
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < 4; ++v) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(acc + r * acc_stride) + v, sum[r][v]);
      }
    }
  }
};

template <int kRows>
struct Avx2 {
  __attribute__((target("avx2"))) static void run(const int16_t* a, int64_t a_stride, const int8_t* panel,
                                                  int64_t pairs, int32_t* acc, int64_t acc_stride) {
    __m256i sum[kRows][2];
    for (auto& row : sum) row[0] = row[1] = _mm256_setzero_si256();
    for (int64_t p = 0; p < pairs; ++p) {
      const auto* raw = reinterpret_cast<const __m128i*>(panel + p * 2 * kPanel);
      const __m256i low = _mm256_cvtepi8_epi16(_mm_loadu_si128(raw));
      const __m256i high = _mm256_cvtepi8_epi16(_mm_loadu_si128(raw + 1));
#pragma GCC unroll 6
      for (int r = 0; r < kRows; ++r) {
        const __m256i pair = _mm256_set1_epi32(load_pair(a + r * a_stride + 2 * p));
        sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(pair, low));
        sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(pair, high));
      }
    }
    for (int r = 0; r < kRows; ++r) {
      auto* to = reinterpret_cast<__m256i*>(acc + r * acc_stride);
      _mm256_storeu_si256(to, sum[r][0]);
      _mm256_storeu_si256(to + 1, sum[r][1]);
    }
  }
};

template <int kRows>
struct Avx512 {
  __attribute__((target("avx512f,avx512bw,avx512vl"))) static void run(const int16_t* a, int64_t a_stride,
                                                                       const int8_t* panel, int64_t pairs, int32_t* acc,
                                                                       int64_t acc_stride) {
    __m512i sum[kRows];
    for (auto& row : sum) row = _mm512_setzero_si512();
    for (int64_t p = 0; p < pairs; ++p) {
      const auto* raw = reinterpret_cast<const __m256i*>(panel + p * 2 * kPanel);
      const __m512i b = _mm512_cvtepi8_epi16(_mm256_loadu_si256(raw));
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        const __m512i pair = _mm512_set1_epi32(load_pair(a + r * a_stride + 2 * p));
        sum[r] = _mm512_add_epi32(sum[r], _mm512_madd_epi16(pair, b));
      }
    }
    for (int r = 0; r < kRows; ++r) _mm512_storeu_si512(acc + r * acc_stride, sum[r]);
  }
};

// Full tiles, then one smaller tile for the rest.
template <template <int> class Tile, int kRows>
struct Rows {
  static void rest(const int16_t* a, int64_t a_stride, int64_t rows, const int8_t* panel, int64_t pairs, int32_t* acc,
                   int64_t acc_stride) {
    if (rows == kRows) {
      Tile<kRows>::run(a, a_stride, panel, pairs, acc, acc_stride);
    } else if constexpr (kRows > 1) {
      Rows<Tile, kRows - 1>::rest(a, a_stride, rows, panel, pairs, acc, acc_stride);
    }
  }
  static void run(const int16_t* a, int64_t a_stride, int64_t rows, const int8_t* panel, int64_t pairs, int32_t* acc,
                  int64_t acc_stride) {
    for (; rows >= kRows; rows -= kRows, a += kRows * a_stride, acc += kRows * acc_stride) {
      Tile<kRows>::run(a, a_stride, panel, pairs, acc, acc_stride);
    }
    if (rows > 0) rest(a, a_stride, rows, panel, pairs, acc, acc_stride);
  }
};

MXQ_CLONES void widen_u8(const uint8_t* from, int64_t n, int zero_point, int16_t* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<int16_t>(from[i] - zero_point);
}

MXQ_CLONES void widen_s8(const int8_t* from, int64_t n, int zero_point, int16_t* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<int16_t>(from[i] - zero_point);
}

}  // namespace

void GemmColumns::resize(int64_t new_depth, int64_t new_columns) {
  depth = new_depth;
  columns = new_columns;
  data.assign(panels() * pairs() * 2 * kPanel, 0);
}

GemmPanel gemm_panel(Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return Rows<Avx512, kRowsAvx512>::run;
    case Isa::kAvx2:
      return Rows<Avx2, kRowsAvx2>::run;
    case Isa::kDefault:
      break;
  }
  return Rows<Sse2, kRowsSse2>::run;
}

int gemm_rows(Isa isa) { return isa == Isa::kAvx512 ? kRowsAvx512 : isa == Isa::kAvx2 ? kRowsAvx2 : kRowsSse2; }

void widen(const uint8_t* from, int64_t n, int zero_point, int16_t* to) { widen_u8(from, n, zero_point, to); }
void widen(const int8_t* from, int64_t n, int zero_point, int16_t* to) { widen_s8(from, n, zero_point, to); }

}  // namespace mxq
