// One instruction multiplies and adds four bytes, so the three taps of a kernel row (and a zero) are brought beside
// each other. Pixels and channels run together: 64 neighbouring bytes of a row are 64 outputs, whatever the number of
// channels, and the weights repeat with the least common multiple of channels and 64. Bytes that were brought together
// serve every output row they belong to; the order in which registers hold them is undone by packing the results.
// Depthwise 3x3, stride 1 or 2.
#include "../ops/conv.h"

// GCC 12 takes the deliberately undefined registers of its own header for a mistake.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "isa.h"
#include "output_stage.h"
#include "packed_weights.h"
#include "parallel.h"

#define MXQ_VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

namespace mxq {
namespace {

constexpr int64_t kLanes = 64;

// What 64 neighbouring outputs need, in the order of four registers of 16.
struct alignas(64) Block {
  int8_t weights[3][4][kLanes];  // of a kernel row: three taps and zero for each output
  int32_t start[4][16];          // what the data's offset adds, taken off
  float multiplier[4][16];
  float bias[4][16];
  float slope[4][16];  // for float outputs in the order of outputs
};

struct VnniPacked : Packed {
  bool fits;  // no value leaves int32 before it is clamped
  std::vector<Block> blocks;
};

// The output that element `i` of register `k` belongs to, of 64: how unpacking bytes and words leaves them.
int64_t output_of(int64_t k, int64_t i) { return i / 4 * 16 + 4 * k + i % 4; }

// Whether no value leaves int32 before it is clamped.
bool fits(const Packed& packed) {
  const ChannelTerms& terms = packed.terms;
  float largest = 0;
  for (size_t c = 0; c < terms.multiplier.size(); ++c) {
    const float steepest = terms.slope.empty() ? 1.0f : std::max(1.0f, std::fabs(terms.slope[c]));
    largest = std::max(largest, steepest * (9 * 255 * 128 * terms.multiplier[c] + std::fabs(terms.bias[c])));
  }
  return largest < 1e9f;
}

std::shared_ptr<Packed> pack(const ConvGeometry& g, const OutputStage& stage, const LayerParams& params, int offset) {
  auto packed = std::make_shared<VnniPacked>();
  const int64_t count = g.out_c / std::gcd(g.out_c, kLanes);
  describe_packed(stage, params, count * sizeof(Block), packed.get());
  packed->fits = stage.out_type == DType::kFloat32 || fits(*packed);
  packed->blocks.resize(count);
  const int8_t* w = params.weight->as<const int8_t>();
  for (int64_t b = 0; b < count; ++b) {
    Block& block = packed->blocks[b];
    for (int64_t k = 0; k < 4; ++k) {
      for (int64_t i = 0; i < 16; ++i) {
        const int64_t c = (b * kLanes + output_of(k, i)) % g.out_c;
        int sum = 0;
        for (int64_t row = 0; row < 3; ++row) {
          for (int64_t tap = 0; tap < 3; ++tap) {
            const int8_t value = w[c * 9 + row * 3 + tap];
            block.weights[row][k][4 * i + tap] = value;
            sum += value;
          }
          block.weights[row][k][4 * i + 3] = 0;
        }
        block.start[k][i] = -offset * sum;
        block.multiplier[k][i] = packed->terms.multiplier[c];
        block.bias[k][i] = packed->terms.bias[c];
        const int64_t of = stage.out_type == DType::kFloat32 ? (b * kLanes + 16 * k + i) % g.out_c : c;
        block.slope[k][i] = stage.has_slope() ? packed->terms.slope[of] : 1.0f;
      }
    }
  }
  return packed;
}

// The output stage with the activation's bounds, on bytes where these are the output.
struct Stage {
  float zero_point;
  uint8_t low_byte, high_byte;
  bool sums, bounded, slope;
  float sum_multiplier, low, high;
};

Stage stage_of(const OutputStage& s) {
  const ActBounds bounds = act_bounds(s);
  const bool bounded = s.act == Act::kRelu || s.act == Act::kClip;
  return {static_cast<float>(s.out_zero_point),
          bounds.low_byte,
          bounds.high_byte,
          s.sum != Sum::kNone,
          bounded,
          s.has_slope(),
          s.sum_multiplier,
          bounds.low,
          bounds.high};
}

// Rows of the output, and those of the residual.
struct Lines {
  uint8_t* bytes[3];
  float* floats[3];
  const float* residual[3];
};

// A row of the input with its padding, or for stride 2 its even and its odd pixels: three rows of bytes, the taps.
struct Row {
  const uint8_t* tap[3];
};

using Loop = void (*)(const Row* rows, const Lines& lines, int64_t n, const Block* blocks, int64_t count,
                      const Stage& stage);

template <int kRows, int kStride>
MXQ_VNNI inline __attribute__((always_inline)) void multiply(const Row* rows, int64_t j, const Block& block,
                                                             __m512i (&acc)[kRows][4]) {
  constexpr int kInRows = (kRows - 1) * kStride + 3;
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) acc[r][k] = _mm512_load_si512(block.start[k]);
  }
#pragma GCC unroll 8
  for (int i = 0; i < kInRows; ++i) {
    const __m512i x = _mm512_loadu_si512(rows[i].tap[0] + j), y = _mm512_loadu_si512(rows[i].tap[1] + j);
    const __m512i z = _mm512_loadu_si512(rows[i].tap[2] + j), none = _mm512_setzero_si512();
    const __m512i xy_low = _mm512_unpacklo_epi8(x, y), xy_high = _mm512_unpackhi_epi8(x, y);
    const __m512i z_low = _mm512_unpacklo_epi8(z, none), z_high = _mm512_unpackhi_epi8(z, none);
    const __m512i taps[4] = {_mm512_unpacklo_epi16(xy_low, z_low), _mm512_unpackhi_epi16(xy_low, z_low),
                             _mm512_unpacklo_epi16(xy_high, z_high), _mm512_unpackhi_epi16(xy_high, z_high)};
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const int row = i - r * kStride;  // of the kernel
      if (row < 0 || row > 2) continue;
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        acc[r][k] = _mm512_dpbusd_epi32(acc[r][k], taps[k], _mm512_load_si512(block.weights[row][k]));
      }
    }
  }
}

// Float outputs: sums in the order of registers, then all else in the order of outputs.
template <int kRows, int kStride>
MXQ_VNNI void loop_float(const Row* rows, const Lines& lines, int64_t n, const Block* blocks, int64_t count,
                         const Stage& s) {
  const __m512 sum = _mm512_set1_ps(s.sum_multiplier), low = _mm512_set1_ps(s.low), high = _mm512_set1_ps(s.high);
  int64_t b = 0;
  for (int64_t j = 0; j < n; j += kLanes) {
    const Block& block = blocks[b];
    b = b + 1 == count ? 0 : b + 1;
    __m512i acc[kRows][4];
    multiply<kRows, kStride>(rows, j, block, acc);
    const int64_t left = n - j;
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      __m512 t[4];
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        t[k] = _mm512_mul_ps(_mm512_cvtepi32_ps(acc[r][k]), _mm512_load_ps(block.multiplier[k]));
        t[k] = _mm512_add_ps(t[k], _mm512_load_ps(block.bias[k]));
      }
      const __m512 a = _mm512_shuffle_f32x4(t[0], t[1], 0x44), c = _mm512_shuffle_f32x4(t[2], t[3], 0x44);
      const __m512 d = _mm512_shuffle_f32x4(t[0], t[1], 0xEE), e = _mm512_shuffle_f32x4(t[2], t[3], 0xEE);
      __m512 u[4] = {_mm512_shuffle_f32x4(a, c, 0x88), _mm512_shuffle_f32x4(a, c, 0xDD),
                     _mm512_shuffle_f32x4(d, e, 0x88), _mm512_shuffle_f32x4(d, e, 0xDD)};
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        const int64_t some = std::min<int64_t>(std::max<int64_t>(left - 16 * k, 0), 16);
        const auto live = static_cast<__mmask16>((1u << some) - 1);
        const int64_t at = j + 16 * k;
        if (s.sums) u[k] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(live, lines.residual[r] + at), sum, u[k]);
        if (s.slope) {
          const __mmask16 negative = _mm512_cmp_ps_mask(u[k], _mm512_setzero_ps(), _CMP_LT_OQ);
          u[k] = _mm512_mask_mul_ps(u[k], negative, u[k], _mm512_load_ps(block.slope[k]));
        }
        if (s.bounded) u[k] = _mm512_min_ps(_mm512_max_ps(u[k], low), high);
        _mm512_mask_storeu_ps(lines.floats[r] + at, live, u[k]);
      }
    }
  }
}

// kRows output rows at once; kStride is that of rows.
template <int kRows, int kStride, bool kSigned, bool kSlope, bool kZeroPoint>
MXQ_VNNI void loop(const Row* rows, const Lines& lines, int64_t n, const Block* blocks, int64_t count, const Stage& s) {
  const __m512 zero = _mm512_set1_ps(s.zero_point);
  const __m512i low = _mm512_set1_epi8(static_cast<char>(s.low_byte));
  const __m512i high = _mm512_set1_epi8(static_cast<char>(s.high_byte));
  int64_t b = 0;
  for (int64_t j = 0; j < n; j += kLanes) {
    const Block& block = blocks[b];
    b = b + 1 == count ? 0 : b + 1;
    __m512i acc[kRows][4];
    multiply<kRows, kStride>(rows, j, block, acc);
    const __mmask64 live = n - j >= kLanes ? ~uint64_t{0} : (uint64_t{1} << (n - j)) - 1;
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      __m512i q[4];
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(acc[r][k]), _mm512_load_ps(block.multiplier[k]));
        t = _mm512_add_ps(t, _mm512_load_ps(block.bias[k]));
        if (kSlope) {
          const __mmask16 negative = _mm512_cmp_ps_mask(t, _mm512_setzero_ps(), _CMP_LT_OQ);
          t = _mm512_mask_mul_ps(t, negative, t, _mm512_load_ps(block.slope[k]));
        }
        if (kZeroPoint) t = _mm512_add_ps(t, zero);
        q[k] = _mm512_cvt_roundps_epi32(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
      }
      const __m512i first = _mm512_packs_epi32(q[0], q[1]), second = _mm512_packs_epi32(q[2], q[3]);
      __m512i bytes;
      if (kSigned) {
        bytes = _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(first, second), low), high);
      } else {
        bytes = _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(first, second), low), high);
      }
      _mm512_mask_storeu_epi8(lines.bytes[r] + j, live, bytes);
    }
  }
}

template <int kRows, int kStride, bool kSigned>
Loop choose(bool slope, bool zero_point) {
  if (slope) return loop<kRows, kStride, kSigned, true, true>;
  return zero_point ? loop<kRows, kStride, kSigned, false, true> : loop<kRows, kStride, kSigned, false, false>;
}

template <int kRows>
Loop choose(int64_t stride, DType out, bool slope, bool zero_point) {
  if (out == DType::kFloat32) return stride == 1 ? loop_float<kRows, 1> : loop_float<kRows, 2>;
  const bool is_signed = out == DType::kInt8;
  if (stride == 1) {
    return is_signed ? choose<kRows, 1, true>(slope, zero_point) : choose<kRows, 1, false>(slope, zero_point);
  }
  return is_signed ? choose<kRows, 2, true>(slope, zero_point) : choose<kRows, 2, false>(slope, zero_point);
}

// The rows of one thread, made when they are first asked for and kept for the next group of output rows.
class Rows {
 public:
  // `pixel`: from one pixel of the data to the next, where these are a part of wider ones.
  Rows(const ConvGeometry& g, int64_t pixel, uint8_t flip, uint8_t padding) : g_(g), pixel_(pixel), flip_(flip) {
    width_ = (g.out_w - 1) * g.stride_w + 3;
    half_ = (width_ + 1) / 2 * g.in_c + kLanes;
    bytes_ = 2 * half_ + kLanes;
    memory_.assign((kSlots + 1) * bytes_, padding);  // the last one stays all padding
    std::fill(held_, held_ + kSlots, std::numeric_limits<int64_t>::min());
  }

  Row get(const uint8_t* data, int64_t image, int64_t y) {
    uint8_t* row = memory_.data() + kSlots * bytes_;
    if (y >= 0 && y < g_.in_h) {
      const int64_t id = image * g_.in_h + y, slot = y % kSlots;
      row = memory_.data() + slot * bytes_;
      if (held_[slot] != id) fill(data + id * g_.in_w * pixel_, row);
      held_[slot] = id;
    }
    if (g_.stride_w == 1) return {{row, row + g_.in_c, row + 2 * g_.in_c}};
    return {{row, row + half_, row + g_.in_c}};
  }

 private:
  static constexpr int64_t kSlots = 8;  // no fewer than the rows of a group

  // Writes the pixels; the padding around them is still there.
  MXQ_VNNI void fill(const uint8_t* src, uint8_t* row) const {
    const int64_t c = g_.in_c, columns = std::max<int64_t>(0, std::min(g_.in_w, width_ - g_.pad_left));
    const __m512i flip = _mm512_set1_epi8(static_cast<char>(flip_));
    const bool together = g_.stride_w == 1 && pixel_ == c;
    const int64_t pieces = together ? 1 : columns, length = together ? columns * c : c;
    const int64_t whole = length / kLanes * kLanes;
    const __mmask64 rest = (uint64_t{1} << (length - whole)) - 1, all = ~uint64_t{0};
    // What is written too much is overwritten by the next pixels, and what is read too much belongs to them.
    const int64_t loose = pieces - 2 * (kLanes / c + 1);
    for (int64_t piece = 0; piece < pieces; ++piece) {
      const int64_t x = piece + g_.pad_left;
      const uint8_t* from = src + piece * pixel_;
      uint8_t* to = g_.stride_w == 1 ? row + x * c : row + x % 2 * half_ + x / 2 * c;
      for (int64_t i = 0; i < whole; i += kLanes) {
        _mm512_storeu_si512(to + i, _mm512_xor_si512(_mm512_loadu_si512(from + i), flip));
      }
      if (!rest) continue;
      const __mmask64 live = piece < loose ? all : rest;
      const __m512i last = _mm512_maskz_loadu_epi8(live, from + whole);
      _mm512_mask_storeu_epi8(to + whole, live, _mm512_xor_si512(last, flip));
    }
  }

  const ConvGeometry& g_;
  const int64_t pixel_;
  const uint8_t flip_;
  int64_t width_, half_, bytes_;
  std::vector<uint8_t> memory_;
  int64_t held_[kSlots];
};

class DepthwiseVnni : public Kernel {
 public:
  DepthwiseVnni(const LinearOp& op, const ConvGeometry& g, DType in_type, KernelPtr any)
      : stage_(op.stage), g_(g), any_(std::move(any)) {
    // int8 is read as uint8 with its top bit flipped, which is the value plus 128.
    flip_ = in_type == DType::kInt8 ? 128 : 0;
    offset_ = stage_.in_zero_point + flip_;
    format_ = packed_format(stage_, "vnni depthwise " + std::to_string(g.out_c) + " " + std::to_string(offset_));
    const bool zero_point = stage_.out_zero_point != 0;
    loops_[0] = choose<1>(g.stride_h, stage_.out_type, stage_.has_slope(), zero_point);
    loops_[1] = choose<2>(g.stride_h, stage_.out_type, stage_.has_slope(), zero_point);
    loops_[2] = choose<3>(g.stride_h, stage_.out_type, stage_.has_slope(), zero_point);
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* ctx) const override {
    const LayerParams params = layer_params(stage_, in);
    const PackedPtr found = find_packed(format_, params, ctx, [&] { return pack(g_, stage_, params, offset_); });
    const auto& packed = static_cast<const VnniPacked&>(*found);
    if (!packed.fits) return run_any(in, out, ctx);
    const std::vector<Block>& blocks = packed.blocks;
    const auto count = static_cast<int64_t>(blocks.size());
    const Stage stage = stage_of(stage_);
    const uint8_t* data = in[0].as<const uint8_t>();
    const float* residual = stage_.sum == Sum::kNone ? nullptr : in[stage_.residual_index()].as<const float>();
    const int64_t n = g_.out_w * g_.out_c, pixel = in[0].row_bytes ? in[0].row_bytes : g_.in_c;
    parallel_for(g_.batch * g_.out_h, 4 * n, [&](int64_t row, int64_t end) {
      Rows source(g_, pixel, static_cast<uint8_t>(flip_), static_cast<uint8_t>(offset_));
      while (row < end) {
        const int64_t image = row / g_.out_h, first = row % g_.out_h, left = std::min(end - row, g_.out_h - first);
        const int64_t groups = (left + kGroup - 1) / kGroup, rows = (left + groups - 1) / groups;
        Row taps[2 * kGroup + 1];
        Lines lines{};
        for (int64_t i = 0; i < (rows - 1) * g_.stride_h + 3; ++i) {
          taps[i] = source.get(data, image, first * g_.stride_h - g_.pad_top + i);
        }
        for (int64_t r = 0; r < rows; ++r) {
          lines.bytes[r] = out[0].as<uint8_t>() + (row + r) * n;
          lines.floats[r] = out[0].as<float>() + (row + r) * n;
          if (residual) lines.residual[r] = residual + (row + r) * n;
        }
        loops_[rows - 1](taps, lines, n, blocks.data(), count, stage);
        row += rows;
      }
    });
  }

  bool reads_rows() const override { return true; }

 private:
  void run_any(std::vector<Tensor> in, const std::vector<Tensor>& out, RunContext* ctx) const {
    std::vector<uint8_t> dense;
    if (in[0].row_bytes) {
      const int64_t rows = in[0].size() / g_.in_c;
      dense.resize(rows * g_.in_c);
      for (int64_t r = 0; r < rows; ++r) {
        std::memcpy(dense.data() + r * g_.in_c, in[0].as<const char>() + r * in[0].row_bytes, g_.in_c);
      }
      in[0].data = dense.data();
      in[0].row_bytes = 0;
    }
    any_->run(in, out, ctx);
  }

  static constexpr int64_t kGroup = 3;  // output rows at once: their sums fill 12 of 32 registers

  const OutputStage stage_;
  const ConvGeometry g_;
  KernelPtr any_;  // for scales so large that it does not matter how long it takes
  int flip_, offset_;
  std::string format_;
  Loop loops_[kGroup];
};

}  // namespace

KernelPtr cpu_depthwise_vnni(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                             std::string* why_not) {
  const auto& conv = static_cast<const LinearOp&>(op);
  const OutputStage& stage = conv.stage;
  const ConvGeometry g = conv.geometry(in[0].shape);
  const bool fits = g.groups == g.in_c && g.groups == g.out_c && g.kernel_h == 3 && g.kernel_w == 3 &&
                    g.dilate_h == 1 && g.dilate_w == 1 && g.stride_h == g.stride_w && g.stride_h <= 2;
  const bool is_float = stage.out_type == DType::kFloat32;
  const bool sums = stage.sum == Sum::kBeforeAct && is_float && in[stage.residual_index()].dtype == DType::kFloat32;
  if (!cpu_has_vnni()) {
    *why_not = "the processor has no AVX-512 VNNI";
  } else if (!fits) {
    *why_not = "it is for depthwise 3x3 convolutions with stride 1 or 2";
  } else if (stage.out_type == DType::kInt32 || (stage.sum != Sum::kNone && !sums)) {
    *why_not = "it has no int32 output, and no sums but of float before the activation";
  } else {
    return std::make_shared<DepthwiseVnni>(conv, g, in[0].dtype, ref_linear(op, in, out, why_not));
  }
  return nullptr;
}

}  // namespace mxq
