// Convolution on AVX-512 VNNI in register tiles of a few pixels by up to 64 output channels.
//
// Channels last, the bytes under a row of the kernel lie side by side: a run. One instruction multiplies four bytes of
// a pixel's run, in all lanes the same, by four weights of 16 channels. The image is read where it lies, in patches of
// outputs whose taps are inside it. Where pixels are no whole words, or patches too small for tiles, it is copied, with
// padding around it, and int8 becomes uint8 (plus 128) on the way; there short runs that fill their last words badly
// are joined to one, pixel by pixel (a first layer of 3x3: 7 words and not 9). Zero points and that 128 are exact: what
// they add to products is taken off, of copied padding too, which holds the zero point.
//
// The output stage is in ops/output_stage.h. Of a tile's channels a register holds those that packing brings into
// order.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "../core/huge_pages.h"
#include "../ops/conv.h"
#include "conv_reading.h"
#include "conv_tile.h"
#include "isa.h"
#include "other_kernel.h"
#include "output_stage.h"
#include "packed_weights.h"
#include "parallel.h"

namespace mxq {
namespace {

using namespace tiles;

struct TilesPacked : Packed {
  bool fits;  // no value leaves int32 before it is clamped
  std::shared_ptr<char> memory;
  int8_t* weights;  // of each block of channels: word of all runs, vector, lane, byte
  int32_t* start;   // of each patch, if the data has an offset; the rest by vector and lane. What it adds, taken off
  LaneTerms lanes;
};

int64_t tile_pixels_of(const ConvGeometry& g) { return pixels_of((g.out_c + kLanes - 1) / kLanes); }

class ConvTiles : public Kernel {
 public:
  ConvTiles(const LinearOp& op, const ConvGeometry& g, DType in_type, DType residual, KernelPtr any)
      : stage_(op.stage),
        g_(g),
        tile_pixels_(tile_pixels_of(g)),
        reading_(reading(g, tile_pixels_)),
        under_(multiplied(g)),
        residual_(residual),
        any_(std::move(any)) {
    is_int8_ = in_type == DType::kInt8;
    offset_ = stage_.in_zero_point + (is_int8_ ? 128 : 0);
    const StageKind kind = kind_of(stage_, residual);
    out_ = kind.out;
    loops_ = choose(kind, is_int8_ && !reading_.copies);
    vectors_ = (g.out_c + kLanes - 1) / kLanes;
    blocks_ = (vectors_ + kMaxVectors - 1) / kMaxVectors;
    for (const Patch& patch : reading_.patches) {
      first_tile_.push_back(tiles_);
      tiles_ += (patch.pixels(reading_.from.batch) + tile_pixels_ - 1) / tile_pixels_;
    }
    format_ = packed_format(stage_, layout());
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* ctx) const override {
    const LayerParams params = layer_params(stage_, in);
    const PackedPtr found = find_packed(format_, params, ctx, [&] { return pack(params); });
    const auto& packed = static_cast<const TilesPacked&>(*found);
    if (!packed.fits) return run_other(*any_, in, out[0], ctx);
    const uint8_t* data = in[0].as<const uint8_t>();
    if (reading_.copies) {
      auto* copy =
          static_cast<uint8_t*>(ctx->workspace(g_.batch * reading_.from.in_h * reading_.from.in_w * g_.in_c + 64));
      copy_padded(data, copy);
      data = copy;
    }
    const Stage stage = make_stage(stage_, residual_);
    const Job job{data, &stage, &packed, stage_.sum == Sum::kNone ? nullptr : &in[stage_.residual_index()], &out[0]};
    const int64_t cost = (under_.runs * under_.words() + 8) * 128;  // of a tile, about, in bytes touched
    if (tiles_ < 64) {  // of all channels: pieces of equal work are more important than what stays in the cache
      parallel_for(blocks_ * tiles_, cost, [&](int64_t begin, int64_t end) {
        for (int64_t next; begin < end; begin = next) {
          const int64_t block = begin / tiles_;
          next = std::min(end, (block + 1) * tiles_);
          run_tiles(job, block, begin - block * tiles_, next - block * tiles_);
        }
      });
      return;
    }
    // So many pixels at once that what is read and written of them stays in the second-level cache for all channels.
    const int64_t pixel_bytes =
        g_.in_c * g_.stride_h * g_.stride_w + g_.out_c * static_cast<int64_t>(size_of(out[0].dtype()));
    const int64_t together = std::max<int64_t>(1, (256 << 10) / pixel_bytes / tile_pixels_);
    parallel_for(tiles_, blocks_ * cost, [&](int64_t begin, int64_t end) {
      for (int64_t at = begin; at < end; at += together) {
        for (int64_t block = 0; block < blocks_; ++block) run_tiles(job, block, at, std::min(at + together, end));
      }
    });
  }

  bool writes_rows() const override { return true; }

 private:
  // All that decides what pack() makes of the same parameters.
  std::string layout() const {
    int32_t sum_bits;
    std::memcpy(&sum_bits, &stage_.sum_multiplier, sizeof(sum_bits));
    std::vector<int64_t> parts = {g_.kernel_h,
                                  g_.kernel_w,
                                  g_.in_c,
                                  under_.runs,
                                  offset_,
                                  out_ == Out::kFloat,
                                  stage_.sum == Sum::kNone ? 0 : sum_bits};
    for (size_t i = 0; offset_ != 0 && i < reading_.patches.size(); ++i) {
      const Patch& p = reading_.patches[i];
      parts.insert(parts.end(), {p.first_row, p.end_row, p.first_column, p.end_column});
    }
    std::string text = "tiles";
    for (const int64_t part : parts) text += " " + std::to_string(part);
    return text;
  }

  std::shared_ptr<Packed> pack(const LayerParams& params) const {
    auto packed = std::make_shared<TilesPacked>();
    const int64_t words = under_.runs * under_.words(), starts = offset_ ? reading_.patches.size() : 1;
    const size_t weight_bytes = vectors_ * words * 64, term_bytes = vectors_ * kLanes * sizeof(float);
    const size_t bytes = weight_bytes + (starts + 3) * term_bytes;
    packed->memory = allocate_shared(bytes);
    char* at = packed->memory.get();
    std::memset(at, 0, bytes);
    packed->weights = reinterpret_cast<int8_t*>(at);
    packed->lanes.place(at + weight_bytes, vectors_ * kLanes);
    packed->start = reinterpret_cast<int32_t*>(at + weight_bytes + 3 * term_bytes);
    describe_packed(stage_, params, bytes, packed.get());
    const int8_t* w = params.weight->as<const int8_t>();
    const int64_t taps = g_.kernel_h * g_.kernel_w;
    std::vector<int64_t> sums(taps);  // of the weights of each
    for (int64_t b = 0; b < blocks_; ++b) {
      const int64_t first_vector = first_vector_of(b), vectors = first_vector_of(b + 1) - first_vector;
      int8_t* to = packed->weights + first_vector * words * 64;
      for (int64_t v = 0; v < vectors; ++v) {
        for (int64_t i = 0; i < kLanes; ++i) {
          const int64_t c = first_vector * kLanes + channel_of(v, i, vectors, out_);
          if (c >= g_.out_c) continue;
          for (int64_t tap = 0; tap < taps; ++tap) {
            const int64_t run = tap * under_.runs / taps, first = tap % (taps / under_.runs) * g_.in_c;
            sums[tap] = 0;
            for (int64_t k = 0; k < g_.in_c; ++k) {
              const int8_t value = w[(c * g_.in_c + k) * taps + tap];
              const int64_t word = run * under_.words() + (first + k) / 4;
              to[(word * vectors + v) * 64 + 4 * i + (first + k) % 4] = value;
              sums[tap] += value;
            }
          }
          const int64_t at_term = (first_vector + v) * kLanes + i;
          for (int64_t p = 0; p < starts && offset_; ++p) {
            packed->start[p * vectors_ * kLanes + at_term] =
                static_cast<int32_t>(-offset_ * sum_inside(reading_.patches[p], sums));
          }
          packed->lanes.set(at_term, packed->terms, c);
        }
      }
    }
    packed->fits = stays_in_int32(stage_, *packed);
    return packed;
  }

  int64_t sum_inside(const Patch& p, const std::vector<int64_t>& of_taps) const {
    int64_t sum = 0;
    for (int64_t y = p.first_row; y < p.end_row; ++y) {
      for (int64_t x = p.first_column; x < p.end_column; ++x) sum += of_taps[y * g_.kernel_w + x];
    }
    return sum;
  }

  // Blocks have equally many vectors of channels, as nearly as they can: few use few registers.
  int64_t first_vector_of(int64_t block) const { return vectors_ * block / blocks_; }

  void copy_padded(const uint8_t* from, uint8_t* to) const {
    const int64_t row = reading_.from.in_w * g_.in_c, left = g_.pad_left * g_.in_c;
    const int64_t inside = std::min(g_.in_w, reading_.from.in_w - g_.pad_left) * g_.in_c;
    parallel_for(g_.batch * reading_.from.in_h, 2 * row, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t y = i % reading_.from.in_h - g_.pad_top;
        uint8_t* dst = to + i * row;
        if (y < 0 || y >= g_.in_h || inside <= 0) {
          std::memset(dst, offset_, row);
          continue;
        }
        std::memset(dst, offset_, left);
        move(from + (i / reading_.from.in_h * g_.in_h + y) * g_.in_w * g_.in_c, dst + left, inside);
        std::memset(dst + left + inside, offset_, row - left - inside);
      }
    });
  }

  void move(const uint8_t* from, uint8_t* to, int64_t n) const {
    if (!is_int8_) {
      std::memcpy(to, from, n);
      return;
    }
    for (int64_t i = 0; i < n; ++i) to[i] = from[i] ^ 128;
  }

  struct Job {
    const uint8_t* data;
    const Stage* stage;
    const TilesPacked* packed;
    const Tensor *residual, *out;
  };

  // Tiles [from, to) for a block of channels.
  void run_tiles(const Job& job, int64_t block, int64_t from, int64_t to) const {
    const int64_t vector = first_vector_of(block), vectors = first_vector_of(block + 1) - vector,
                  first = vector * kLanes, channels = std::min(vectors * kLanes, g_.out_c - first);
    Tile t;
    t.weights = job.packed->weights + vector * under_.runs * under_.words() * 64;
    t.set_terms(job.packed->lanes, first, channels);
    size_t i = std::upper_bound(first_tile_.begin(), first_tile_.end(), from) - first_tile_.begin() - 1;
    for (; from < to; ++i) {
      const int64_t end = std::min(to, i + 1 < reading_.patches.size() ? first_tile_[i + 1] : tiles_);
      t.start = job.packed->start + (offset_ ? i * vectors_ * kLanes : 0) + first;
      run_patch(job, reading_.patches[i], loops_.of[vectors - 1], first, (from - first_tile_[i]) * tile_pixels_,
                (end - first_tile_[i]) * tile_pixels_, t);
      from = end;
    }
  }

  // Pixels [p, to) of a patch, for the channels from `first` on.
  void run_patch(const Job& job, const Patch& patch, const TileLoop* loops, int64_t first, int64_t p, int64_t to,
                 const Tile& t) const {
    const Runs runs{patch.run_at.data(), patch.word_at.data(), static_cast<int64_t>(patch.run_at.size()), patch.words};
    const int64_t size = static_cast<int64_t>(size_of(job.out->dtype()));
    const int64_t out_bytes = job.out->row_bytes ? job.out->row_bytes : g_.out_c * size;
    const uint8_t* residual = job.residual ? job.residual->as<const uint8_t>() + first : nullptr;
    uint8_t* out = job.out->as<uint8_t>() + first * size;
    const int64_t end = std::min(to, patch.pixels(reading_.from.batch));
    const bool joins = !reading_.joined_at.empty();
    Walk walk(reading_.from, patch, p);
    Tile tiles[2] = {t, t};
    Joined joined[2];
    const auto find = [&](bool odd) {
      Tile& next = tiles[odd];
      const int64_t found = std::min(tile_pixels_, end - p);
      for (int64_t k = 0; k < found; ++k, walk.next()) {
        next.x[k] = job.data + walk.in();
        next.out[k] = out + walk.out() * out_bytes;
        if (residual) next.residual[k] = residual + walk.out() * g_.out_c;
      }
      if (joins) join(found, next.x, &joined[odd]);
      p += found;
      return found;
    };
    // A tile ahead: its products begin when those before it end, not when its pixels are found; and words that span two
    // stores are slow to read before these have reached the cache.
    int64_t n = find(false);
    for (bool odd = false; n > 0; odd = !odd) {
      const int64_t next = find(!odd);
      loops[n - 1](tiles[odd], runs, *job.stage);
      n = next;
    }
  }

  // A tile's pixels, each with all that is under the kernel. What is moved ends up to kMoved bytes late.
  struct Joined {
    uint8_t bytes[kMaxPixels * kMostJoined + kMoved];
  };

  void join(int64_t pixels, const uint8_t** x, Joined* to) const {
    if (reading_.joined_bytes <= 16) return join<16>(pixels, x, to->bytes);
    join<kMoved>(pixels, x, to->bytes);
  }

  template <int64_t kBytes>
  void join(int64_t pixels, const uint8_t** x, uint8_t* to) const {
    for (int64_t k = 0; k < pixels; ++k) {
      const uint8_t* from = x[k];
      x[k] = to;
      for (const int64_t run : reading_.joined_at) {
        std::memcpy(to, from + run, kBytes);
        to += reading_.joined_bytes;
      }
    }
  }

  const OutputStage stage_;
  const ConvGeometry g_;
  const int64_t tile_pixels_;
  const Reading reading_;
  const Under under_;
  const DType residual_;
  KernelPtr any_;  // for scales so large that it does not matter how long it takes
  bool is_int8_;
  int offset_;
  int64_t vectors_, blocks_;  // of 16 channels, and of up to 4 vectors
  int64_t tiles_ = 0;
  std::vector<int64_t> first_tile_;  // of each patch
  Out out_;
  std::string format_;
  TileLoops loops_;
};

}  // namespace

// Measured on a Zen 4 against oneDNN 3.2: 1x1 1.0 to 1.7 times as fast; first layers, whose channels oneDNN rounds up
// to 4, 1.1 to 1.4; 3x3 and 5x5 1.0 to 1.1 where tiles are full, 0.85 to 0.97 where not; 1.1 to 6 where there is little
// to multiply. With AMX oneDNN has twice the products.
double tiles_speed(const Op& op, const std::vector<TensorType>& in) {
  if (cpu_has_amx()) return 0.5;
  const ConvGeometry g = static_cast<const LinearOp&>(op).geometry(in[0].shape);
  const int64_t taps = g.kernel_h * g.kernel_w;
  if (taps == 1 || op.macs(in) < 10'000'000 || g.pixels() <= 16) return 1.2;
  if (g.in_c % 4 != 0) {
    const Under under = multiplied(g);
    return 8 * under.runs * under.words() <= 7 * taps * ((g.in_c + 3) / 4) ? 1.2 : 0.97;
  }
  const int64_t tile_pixels = tile_pixels_of(g);
  const Reading read = reading(g, tile_pixels);
  const double least = static_cast<double>(effort(patches_of(g), g.batch, 1)) / static_cast<double>(tile_pixels);
  const double full = least / static_cast<double>(effort(read.patches, read.from.batch, tile_pixels));
  const bool stays_near = taps * g.in_c * kMaxVectors * kLanes <= 64 << 10;  // what tiles read again and again
  return full > (stays_near ? 0.8 : 0.93) ? 1.02 : 0.95;
}

KernelPtr cpu_conv_tiles(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                         std::string* why_not) {
  const auto& conv = static_cast<const LinearOp&>(op);
  const OutputStage& stage = conv.stage;
  const ConvGeometry g = conv.geometry(in[0].shape);
  const bool sums = stage.sum != Sum::kNone;
  if (!cpu_has_vnni()) {
    *why_not = "the processor has no AVX-512 VNNI";
  } else if (g.groups != 1) {
    *why_not = "it is for convolutions without groups";
  } else if (*why_no_loop(stage)) {
    *why_not = why_no_loop(stage);
  } else if (g.pixels() >= int64_t{1} << 31) {
    *why_not = "it is for fewer pixels";
  } else {
    const DType residual = sums ? in[stage.residual_index()].dtype : DType::kUnknown;
    return std::make_shared<ConvTiles>(conv, g, in[0].dtype, residual, ref_linear(op, in, out, why_not));
  }
  return nullptr;
}

}  // namespace mxq
