// 3x3 convolutions with a quarter of the products: Winograd's F(4x4, 3x3) in integers, exact (winograd.h).
//
// A tile is 4x4 outputs, with a dilation those of one phase. Some tiles together become points, products of a block of
// up to 64 output channels are summed at each point, and come back as outputs while they are in the cache. Where few
// tiles meet many weights threads share the blocks of channels, so that each reads its own weights; else the tiles.
//
// Whether no sum leaves what is exact is known when weights are packed. Those that could are not packed, and another
// kernel of the list runs.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>

#include "../core/huge_pages.h"
#include "../core/scratch.h"
#include "../ops/conv.h"
#include "conv_patches.h"
#include "isa.h"
#include "machine.h"
#include "other_kernel.h"
#include "output_stage.h"
#include "packed_weights.h"
#include "parallel.h"
#include "tile_stage.h"
#include "winograd.h"

namespace mxq {
namespace {

using winograd::kInputs;
using winograd::kOutputs;
using winograd::kPoints;
using winograd::kUnit;

constexpr int64_t kNearBytes = 512 << 10;             // of a thread's tiles at points, before and after products
constexpr int64_t kGroup = 6;                         // tiles of a product's inner loop
constexpr int64_t kLeastTiles = 18, kMostTiles = 48;  // together: few read weights again too soon
constexpr int64_t kLine = 64;  // points are so many bytes more apart than full, so that they are not in one cache set

struct WinogradPacked : Packed {
  std::shared_ptr<char> memory;
  int16_t* weights;
  tiles::LaneTerms lanes;
};

// The first outputs of tiles along an axis, phase by phase.
std::vector<int64_t> first_outputs(int64_t outputs, int64_t dilate) {
  std::vector<int64_t> first;
  for (int64_t phase = 0; phase < std::min(dilate, outputs); ++phase) {
    for (int64_t at = phase; at < outputs; at += kOutputs * dilate) first.push_back(at);
  }
  return first;
}

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

int64_t tiles_together(const ConvGeometry& g) {
  const int64_t tile_bytes = kPoints * (g.in_c * 2 + winograd::kMaxUnits * kUnit * 4);
  return std::min(std::max(kNearBytes / tile_bytes / kGroup * kGroup, kLeastTiles), kMostTiles);
}

int64_t tiles_of(const ConvGeometry& g) {
  return g.batch *
         static_cast<int64_t>(first_outputs(g.out_h, g.dilate_h).size() * first_outputs(g.out_w, g.dilate_w).size());
}

// The list without this kernel.
KernelPtr make_direct(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out) {
  OpEntry entry = conv_entry();
  auto& all = entry.cpu;
  all.erase(std::remove_if(all.begin(), all.end(), [](const Implementation& i) { return i.make == cpu_conv_winograd; }),
            all.end());
  return make_kernel(entry, op, in, out, "auto");
}

class ConvWinograd : public Kernel {
 public:
  ConvWinograd(const ConvOp& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
               const winograd::Loops* loops, bool fused)
      : op_(op),
        in_(in),
        out_(out),
        stage_(op.stage),
        g_(op.geometry(in[0].shape)),
        loops_(loops),
        fused_(fused),
        is_int8_(in[0].dtype == DType::kInt8),
        rows_(first_outputs(g_.out_h, g_.dilate_h)),
        columns_(first_outputs(g_.out_w, g_.dilate_w)),
        tiles_(tiles_of(g_)),
        pairs_((g_.in_c + 1) / 2),
        channels_(round_up(g_.in_c, loops->together)),
        units_((g_.out_c + kUnit - 1) / kUnit),
        blocks_((units_ + winograd::kMaxUnits - 1) / winograd::kMaxUnits),
        padding_(g_.in_c, static_cast<uint8_t>(stage_.in_zero_point)) {
    residual_ = stage_.sum == Sum::kNone ? DType::kUnknown : in[stage_.residual_index()].dtype;
    if (fused_) {
      kind_ = tiles::kind_of(stage_, residual_);
      stage_loops_ = tiles::choose(kind_);
    } else {
      kind_.out = tiles::Out::kFloat;  // channels in their order
    }
    together_ = tiles_together(g_);
    int32_t sum_bits;
    std::memcpy(&sum_bits, &stage_.sum_multiplier, sizeof(sum_bits));
    std::string layout = "winograd";
    for (const int64_t part :
         {int64_t{loops_->one_panel}, int64_t{fused_}, int64_t{kind_.out == tiles::Out::kFloat}, int64_t{is_int8_},
          int64_t{stage_.in_zero_point}, int64_t{stage_.sum == Sum::kNone ? 0 : sum_bits}}) {
      layout += " " + std::to_string(part);
    }
    format_ = packed_format(stage_, layout);
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* ctx) const override {
    const LayerParams params = layer_params(stage_, in);
    const PackedPtr found = find_packed(format_, params, ctx, [&] { return pack(params); });
    if (found->declined) {
      RunContext inner = *ctx;
      inner.slot = kept_beside(ctx);
      return run_other(direct(), in, out[0], &inner);
    }
    const tiles::Stage stage = fused_ ? tiles::make_stage(stage_, residual_) : tiles::Stage{};
    const Job job{in[0].as<const uint8_t>(), &stage, static_cast<const WinogradPacked*>(found.get()),
                  stage_.sum == Sum::kNone ? nullptr : &in[stage_.residual_index()], &out[0]};
    const int64_t cost = 9 * g_.in_c * g_.out_c;  // of a tile: bytes that are touched in the time of its products
    const int64_t threads = threads_here();
    if (threads > 1 && blocks_ > 1 && tiles_ <= threads * kFewTiles && weight_bytes() > kNearBytes) {
      return run_by_channels(job, cost, threads, ctx);
    }
    parallel_for(tiles_, cost, [&](int64_t begin, int64_t end) {
      thread_local Scratch scratch;
      const int64_t rounds = (end - begin + together_ - 1) / together_;
      const int64_t each = std::min(together_, round_up((end - begin + rounds - 1) / rounds, kGroup));
      const Points points = place(&scratch, each);
      for (int64_t at = begin; at < end; at += each) {
        const int64_t n = std::min(each, end - at);
        for (int64_t t = 0; t < n; ++t) to_points(job, at + t, points.image + t * channels_, points.image_stride);
        for (int64_t block = 0; block < blocks_; ++block) run_block(job, block, at, n, points);
      }
      scratch.reset();
    });
  }

  bool writes_rows() const override { return fused_; }

 private:
  static constexpr int64_t kFewTiles = 24;  // of a thread

  // Memory for tiles at points. Strides in elements, from point to point.
  struct Points {
    int16_t* image;
    uint32_t* sums;
    int32_t* outputs;
    int64_t image_stride, sum_stride;
  };

  struct Job {
    const uint8_t* data;
    const tiles::Stage* stage;
    const WinogradPacked* packed;
    const Tensor *residual, *out;
  };

  int64_t weight_bytes() const { return kPoints * units_ * kUnit * pairs_ * 4; }
  // Blocks have equally many units, as nearly as they can.
  int64_t first_unit_of(int64_t block) const { return units_ * block / blocks_; }
  int64_t image_stride(int64_t tiles) const { return tiles * channels_ + kLine / 2; }

  Points place(Scratch* scratch, int64_t tiles, bool with_image = true) const {
    constexpr int64_t kWidth = winograd::kMaxUnits * kUnit;
    Points p{};
    p.image_stride = image_stride(tiles);
    p.sum_stride = tiles * kWidth + kLine / 4;
    if (with_image) p.image = static_cast<int16_t*>(scratch->take(kPoints * p.image_stride * 2));
    p.sums = static_cast<uint32_t*>(scratch->take(kPoints * p.sum_stride * 4));
    p.outputs = static_cast<int32_t*>(scratch->take(kOutputs * kOutputs * kWidth * 4));
    return p;
  }

  // First all tiles become points; then threads take blocks of channels, of some tiles where blocks are few.
  void run_by_channels(const Job& job, int64_t cost, int64_t threads, RunContext* ctx) const {
    const int64_t stride = image_stride(tiles_);
    auto* image = static_cast<int16_t*>(ctx->workspace(kPoints * stride * 2));
    parallel_for(tiles_, kPoints * channels_ * 4, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) to_points(job, t, image + t * channels_, stride);
    });
    const int64_t wanted = std::max((threads + blocks_ - 1) / blocks_, (tiles_ + kMostTiles - 1) / kMostTiles);
    const int64_t each = (tiles_ + wanted - 1) / wanted, parts = (tiles_ + each - 1) / each;
    parallel_for(blocks_ * parts, each * cost / blocks_, [&](int64_t begin, int64_t end) {
      thread_local Scratch scratch;
      Points points = place(&scratch, each, false);
      points.image_stride = stride;
      for (int64_t item = begin; item < end; ++item) {
        const int64_t first = item % parts * each;
        points.image = image + first * channels_;
        run_block(job, item / parts, first, std::min(each, tiles_ - first), points);
      }
      scratch.reset();
    });
  }

  std::shared_ptr<Packed> pack(const LayerParams& params) const {
    auto packed = std::make_shared<WinogradPacked>();
    const size_t bytes = weight_bytes() + (fused_ ? units_ * kUnit * tiles::LaneTerms::kBytes : 0);
    describe_packed(stage_, params, bytes, packed.get());
    if (!is_exact(params) || (fused_ && !tiles::stays_in_int32(stage_, *packed))) {
      packed->declined = true;
      packed->bytes -= bytes;
      return packed;
    }
    packed->memory = allocate_shared(bytes);
    std::memset(packed->memory.get(), 0, bytes);
    packed->weights = reinterpret_cast<int16_t*>(packed->memory.get());
    if (fused_) packed->lanes.place(packed->memory.get() + weight_bytes(), units_ * kUnit);
    const int8_t* w = params.weight->as<const int8_t>();
    constexpr int64_t kPairBytes = winograd::kMaxUnits * kUnit * kPoints * 4 * 4;  // with the time of the transform
    parallel_for(blocks_ * pairs_, kPairBytes, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) pack_pair(w, item / pairs_, item % pairs_, packed.get());
    });
    return packed;
  }

  // A pair of input channels for a block of output channels.
  void pack_pair(const int8_t* w, int64_t block, int64_t pair, WinogradPacked* packed) const {
    const int64_t first = first_unit_of(block), units = first_unit_of(block + 1) - first;
    const int64_t panel = loops_->one_panel ? units : 1;
    for (int64_t lane = 0; lane < units * kUnit; ++lane) {
      const int64_t unit = lane / kUnit;
      const int64_t o = first * kUnit + tiles::channel_of(unit, lane % kUnit, units, kind_.out);
      if (o >= g_.out_c) continue;
      if (fused_ && pair == 0) packed->lanes.set(first * kUnit + lane, packed->terms, o);
      const int64_t vector = first * kPoints * pairs_ + (unit / panel * pairs_ + pair) * panel + unit % panel;
      int16_t* to = packed->weights + (vector * kUnit + lane % kUnit) * 2;
      for (int64_t i = 2 * pair; i < std::min(2 * pair + 2, g_.in_c); ++i, ++to) {
        int taps[9];
        int16_t points[kPoints];
        std::copy_n(w + (o * g_.in_c + i) * 9, 9, taps);
        winograd::weights_to_points(taps, points);
        for (int p = 0; p < kPoints; ++p) to[p * units * pairs_ * 2 * kUnit] = points[p];
      }
    }
  }

  // Positive weights meet the largest values, negative ones the smallest, or the other way round.
  bool is_exact(const LayerParams& params) const {
    const DType type = is_int8_ ? DType::kInt8 : DType::kUint8;
    const int64_t up = qmax(type) - stage_.in_zero_point, down = stage_.in_zero_point - qmin(type);
    const int64_t depth = g_.depth();
    const int8_t* w = params.weight->as<const int8_t>();
    for (int64_t o = 0; o < g_.out_c; ++o, w += depth) {
      int64_t positive = 0, negative = 0;
      for (int64_t i = 0; i < depth; ++i) (w[i] > 0 ? positive : negative) += w[i];
      if (up * positive - down * negative >= winograd::kMaxSum) return false;
      if (down * positive - up * negative > winograd::kMaxSum) return false;
    }
    return true;
  }

  struct Where {
    int64_t image, y, x;  // of the first output
  };
  Where where(int64_t tile) const {
    const auto rows = static_cast<int64_t>(rows_.size()), columns = static_cast<int64_t>(columns_.size());
    return {tile / columns / rows, rows_[tile / columns % rows], columns_[tile % columns]};
  }

  void to_points(const Job& job, int64_t tile, int16_t* to, int64_t stride) const {
    const Where at = where(tile);
    const uint8_t* pixels[kPoints];
    for (int64_t i = 0; i < kInputs; ++i) {
      const int64_t y = at.y - g_.pad_top + i * g_.dilate_h;
      const uint8_t* row = job.data + (at.image * g_.in_h + y) * g_.in_w * g_.in_c;
      for (int64_t j = 0; j < kInputs; ++j) {
        const int64_t x = at.x - g_.pad_left + j * g_.dilate_w;
        const bool inside = y >= 0 && y < g_.in_h && x >= 0 && x < g_.in_w;
        pixels[i * kInputs + j] = inside ? row + x * g_.in_c : padding_.data();
      }
    }
    loops_->to_points(pixels, is_int8_, stage_.in_zero_point, g_.in_c, to, stride);
  }

  // Tiles [first, first + n), which are in points.image, for a block of channels.
  void run_block(const Job& job, int64_t block, int64_t first, int64_t n, const Points& points) const {
    const int64_t unit = first_unit_of(block), units = first_unit_of(block + 1) - unit, width = units * kUnit;
    const int64_t panel = loops_->one_panel ? units : 1;
    const int16_t* weights = job.packed->weights + unit * kPoints * pairs_ * 2 * kUnit;
    for (int p = 0; p < kPoints; ++p) {
      for (int64_t u = 0; u < units; u += panel, weights += pairs_ * panel * 2 * kUnit) {
        loops_->multiply(points.image + p * points.image_stride, channels_, n, weights, pairs_, panel,
                         points.sums + p * points.sum_stride + u * kUnit, width);
      }
    }
    tiles::Places places;
    if (fused_) places.set_terms(job.packed->lanes, unit * kUnit, std::min(width, g_.out_c - unit * kUnit));
    for (int64_t t = 0; t < n; ++t) {
      loops_->from_points(points.sums + t * width, points.sum_stride, units, points.outputs);
      write_tile(job, where(first + t), unit, units, points.outputs, &places);
    }
  }

  void write_tile(const Job& job, const Where& at, int64_t unit, int64_t units, const int32_t* sums,
                  tiles::Places* places) const {
    const int64_t first = unit * kUnit, width = units * kUnit, size = static_cast<int64_t>(size_of(job.out->dtype()));
    const int64_t out_bytes = job.out->row_bytes ? job.out->row_bytes : g_.out_c * size;
    const int64_t columns = std::min<int64_t>(kOutputs, (g_.out_w - at.x + g_.dilate_w - 1) / g_.dilate_w);
    for (int64_t i = 0; i < kOutputs; ++i, sums += kOutputs * width) {
      const int64_t y = at.y + i * g_.dilate_h;
      if (y >= g_.out_h) return;
      const int64_t pixel = (at.image * g_.out_h + y) * g_.out_w + at.x;
      if (!fused_) {
        for (int64_t j = 0; j < columns; ++j) {
          write_stage(stage_, job.packed->terms, first, std::min(width, g_.out_c - first), sums + j * width,
                      job.residual, *job.out, (pixel + j * g_.dilate_w) * g_.out_c + first);
        }
        continue;
      }
      for (int64_t j = 0; j < columns; ++j) {
        const int64_t p = pixel + j * g_.dilate_w;
        places->out[j] = job.out->as<uint8_t>() + p * out_bytes + first * size;
        if (job.residual) places->residual[j] = job.residual->as<const uint8_t>() + p * g_.out_c + first;
      }
      stage_loops_.of[units - 1](sums, width, static_cast<int>(columns), *places, *job.stage);
    }
  }

  const Kernel& direct() const {
    std::call_once(direct_made_, [&] { direct_ = make_direct(op_, in_, out_); });
    return *direct_;
  }

  const ConvOp op_;
  const std::vector<TensorType> in_, out_;
  const OutputStage stage_;
  const ConvGeometry g_;
  const winograd::Loops* loops_;
  const bool fused_;  // the output stage of tile_stage.h is for it
  const bool is_int8_;
  const std::vector<int64_t> rows_, columns_;  // first outputs of tiles
  const int64_t tiles_;
  const int64_t pairs_, channels_;  // of input channels; and as many as there is memory for
  const int64_t units_, blocks_;    // of output channels
  const std::vector<uint8_t> padding_;
  DType residual_;
  int64_t together_;  // tiles
  tiles::StageKind kind_{};
  tiles::StageLoops stage_loops_{};
  std::string format_;
  mutable std::once_flag direct_made_;
  mutable KernelPtr direct_;
};

bool applies(const ConvGeometry& g) {
  return g.kernel_h == 3 && g.kernel_w == 3 && g.stride_h == 1 && g.stride_w == 1 && g.groups == 1;
}

}  // namespace

// Measured on a Zen 4, one thread, 4x4 to 112x112 with 8 to 512 channels, against oneDNN 3.2 with 8-bit dot products:
// 0.4 to 0.9 times as fast with up to 24 channels or a few pixels of 512, 1.1 to 1.25 with 32 to 48, 1.4 to 1.7 from 64
// on where tiles are full. This sum of what a tile costs is within a tenth of that.
double winograd_speed(const Op& op, const std::vector<TensorType>& in) {
  constexpr double kDirect = 215, kAtPoints = 110;  // products in a nanosecond
  constexpr double kChannel = 4.6;                  // nanoseconds to transform a channel of a tile
  // Nanoseconds for a byte of weights from beyond the second-level cache, and from memory: a network has several layers
  // with weights, the last-level cache holds what a quarter of it can.
  constexpr double kByte = 0.008, kFarByte = 0.05, kNear = 1e6;
  const ConvGeometry g = static_cast<const LinearOp&>(op).geometry(in[0].shape);
  if (!applies(g)) return 0;
  const double here = cpu_has_vnni() ? (cpu_has_amx() ? 0.2 : 1.0) : cpu_has_avx_vnni() ? 0.5 : 0.8;
  const double outputs = round_up(g.out_c, kUnit), tiles = tiles_of(g);
  double taps = 0;  // of all outputs of a channel, inside the image
  for (const Patch& patch : patches_of(g)) {
    taps += patch.pixels(g.batch) * (patch.end_row - patch.first_row) * (patch.end_column - patch.first_column);
  }
  const double weight_bytes = kPoints * 2.0 * g.in_c * outputs;
  const double rounds = std::ceil(tiles / tiles_together(g));
  double time = tiles * (kChannel * (round_up(g.in_c, 32) + outputs) + kPoints * g.in_c * outputs / kAtPoints);
  if (weight_bytes > kNear) time += rounds * weight_bytes * kByte;
  if (weight_bytes > cpu_cache_bytes() / 4) time += weight_bytes * kFarByte;
  return here * taps * g.in_c * outputs / kDirect / time;
}

KernelPtr cpu_conv_winograd(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                            std::string* why_not) {
  const auto& conv = static_cast<const ConvOp&>(op);
  const ConvGeometry g = conv.geometry(in[0].shape);
  const Isa isa = cpu_isa();
  const winograd::Loops* loops = winograd::loops(isa, cpu_has_vnni());
  if (!loops) {
    *why_not = "the processor (or MXQ_MAX_CPU_ISA) has no AVX2";
  } else if (!applies(g)) {
    *why_not = "it is for 3x3 with stride 1 without groups";
  } else {
    const bool fused = isa == Isa::kAvx512 && !*tiles::why_no_loop(conv.stage);
    return std::make_shared<ConvWinograd>(conv, in, out, loops, fused);
  }
  return nullptr;
}

}  // namespace mxq
