// Convolution on AVX-512 VNNI in register tiles of a few pixels by up to 64 output channels.
//
// Channels last, the bytes under a row of the kernel lie side by side: a run. One instruction multiplies four bytes of
// a pixel's run, in all lanes the same, by four weights of 16 channels. Where the image has padding, or pixels are no
// whole words, it is copied with its padding and int8 becomes uint8 (plus 128) on the way; else it is read where it
// lies. Zero points and that 128 are exact: padding holds the zero point, and its products with all weights are taken
// off. Short runs that fill their last words badly are joined to one, pixel by pixel (a first layer of 3x3: 7 words and
// not 9).
//
// The output stage is in ops/output_stage.h. Of 64 channels a register holds those that packing brings into order.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "../core/huge_pages.h"
#include "../ops/conv.h"
#include "conv_tile.h"
#include "isa.h"
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
  int32_t* start;   // the rest by vector and lane. What the data's offset adds, taken off
  float *multiplier, *bias;
};

// Bytes of the input under the kernel, as runs of neighbours.
struct Runs {
  int64_t count, bytes;
  int64_t words() const { return (bytes + 3) / 4; }
};

Runs runs_of(const ConvGeometry& g) {
  if (g.dilate_w == 1 || g.kernel_w == 1) return {g.kernel_h, g.kernel_w * g.in_c};
  return {g.kernel_h * g.kernel_w, g.in_c};
}

// Bytes of a run that is moved at once, and of all of a pixel's.
constexpr int64_t kMoved = 32, kMaxJoined = 192;

// What the products run over.
Runs joined(const Runs& runs) {
  const Runs one{1, runs.count * runs.bytes};
  const bool pays = runs.bytes <= kMoved && one.bytes <= kMaxJoined && one.words() < runs.count * runs.words();
  return pays ? one : runs;
}

class ConvTiles : public Kernel {
 public:
  ConvTiles(const LinearOp& op, const ConvGeometry& g, DType in_type, DType residual, KernelPtr any)
      : stage_(op.stage), g_(g), read_(runs_of(g)), runs_(joined(read_)), residual_(residual), any_(std::move(any)) {
    copies_ = g.pad_top || g.pad_left || g.pad_bottom || g.pad_right || g.in_c % 4;
    is_int8_ = in_type == DType::kInt8;
    offset_ = stage_.in_zero_point + (is_int8_ ? 128 : 0);
    out_ = stage_.out_type == DType::kFloat32 ? Out::kFloat
           : stage_.out_type == DType::kInt8  ? Out::kInt8
                                              : Out::kUint8;
    format_ = packed_format(stage_, "tiles " + std::to_string(runs_.count) + " " + std::to_string(runs_.bytes) + " " +
                                        std::to_string(offset_));
    const bool zero =
        stage_.out_zero_point || (stage_.sum != Sum::kNone && (stage_.sum_zero_point || residual == DType::kInt8));
    loops_ = choose(out_, stage_.sum != Sum::kNone, is_int8_ && !copies_, zero);
    vectors_ = (g.out_c + kLanes - 1) / kLanes;
    blocks_ = (vectors_ + kMaxVectors - 1) / kMaxVectors;
    tile_pixels_ = pixels_of(vectors_);
    source_.height = g.in_h;
    source_.width = g.in_w;
    if (copies_) {
      source_.height = std::max(g.in_h + g.pad_top, (g.out_h - 1) * g.stride_h + (g.kernel_h - 1) * g.dilate_h + 1);
      source_.width = std::max(g.in_w + g.pad_left, (g.out_w - 1) * g.stride_w + (g.kernel_w - 1) * g.dilate_w + 1);
    }
    const int64_t taps = read_.count / g.kernel_h;
    for (int64_t y = 0; y < g.kernel_h; ++y) {
      for (int64_t x = 0; x < taps; ++x) {
        run_at_.push_back((y * g.dilate_h * source_.width + x * g.dilate_w) * g.in_c);
      }
    }
    joins_ = read_.count != runs_.count;
    static constexpr int64_t kFirst = 0;
    source_.run_at = joins_ ? &kFirst : run_at_.data();
    source_.runs = runs_.count;
    source_.words = runs_.words();
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* ctx) const override {
    const LayerParams params{&in[1], &in[2], stage_.no_bias ? nullptr : &in[stage_.bias_index()]};
    const PackedPtr found = find_packed(format_, params, ctx, [&] { return pack(params); });
    const auto& packed = static_cast<const TilesPacked&>(*found);
    if (!packed.fits) return run_any(in, out[0], ctx);
    Source source = source_;
    source.data = in[0].as<const uint8_t>();
    if (copies_) {
      auto* copy = static_cast<uint8_t*>(ctx->workspace(g_.batch * source_.height * source_.width * g_.in_c + 64));
      copy_padded(source.data, copy);
      source.data = copy;
    }
    const Stage stage = make_stage();
    const Job job{&source, &stage, &packed, stage_.sum == Sum::kNone ? nullptr : &in[stage_.residual_index()], &out[0]};
    const int64_t pixels = g_.pixels(), tiles = (pixels + tile_pixels_ - 1) / tile_pixels_;
    const int64_t cost = (runs_.count * runs_.words() + 8) * 128;  // of a tile, about, in bytes touched
    if (tiles < 64) {  // of all channels: pieces of equal work are more important than what stays in the cache
      parallel_for(blocks_ * tiles, cost, [&](int64_t begin, int64_t end) {
        for (int64_t next; begin < end; begin = next) {
          const int64_t block = begin / tiles;
          next = std::min(end, (block + 1) * tiles);
          run_tiles(job, block, begin - block * tiles, next - block * tiles);
        }
      });
      return;
    }
    // So many pixels at once that what is read of them stays in the second-level cache for all channels.
    const int64_t together = std::max<int64_t>(1, (192 << 10) / (g_.in_c * g_.stride_h * g_.stride_w) / tile_pixels_);
    parallel_for(tiles, blocks_ * cost, [&](int64_t begin, int64_t end) {
      for (int64_t at = begin; at < end; at += together) {
        for (int64_t block = 0; block < blocks_; ++block) run_tiles(job, block, at, std::min(at + together, end));
      }
    });
  }

  bool writes_rows() const override { return true; }

 private:
  // The other kernel writes dense memory.
  void run_any(const std::vector<Tensor>& in, const Tensor& out, RunContext* ctx) const {
    if (!out.row_bytes) return any_->run(in, {out}, ctx);
    const auto row = static_cast<int64_t>(out.shape().back() * size_of(out.dtype()));
    Tensor dense = out;
    dense.row_bytes = 0;
    dense.data = ctx->workspace(out.size() * size_of(out.dtype()));
    any_->run(in, {dense}, ctx);
    for (int64_t r = 0; r < out.size() / out.shape().back(); ++r) {
      std::memcpy(out.as<char>() + r * out.row_bytes, dense.as<char>() + r * row, row);
    }
  }

  std::shared_ptr<Packed> pack(const LayerParams& params) const {
    auto packed = std::make_shared<TilesPacked>();
    const int64_t words = runs_.count * runs_.words();
    const size_t weight_bytes = vectors_ * words * 64, term_bytes = vectors_ * kLanes * sizeof(float);
    packed->memory = allocate_shared(weight_bytes + 3 * term_bytes);
    char* at = packed->memory.get();
    std::memset(at, 0, weight_bytes + 3 * term_bytes);
    packed->weights = reinterpret_cast<int8_t*>(at);
    packed->start = reinterpret_cast<int32_t*>(at + weight_bytes);
    packed->multiplier = reinterpret_cast<float*>(at + weight_bytes + term_bytes);
    packed->bias = reinterpret_cast<float*>(at + weight_bytes + 2 * term_bytes);
    describe_packed(stage_, params, weight_bytes + 3 * term_bytes, packed.get());
    const int8_t* w = params.weight->as<const int8_t>();
    const int64_t taps = g_.kernel_h * g_.kernel_w;
    double largest = 0;
    for (int64_t b = 0; b < blocks_; ++b) {
      const int64_t first_vector = first_vector_of(b), vectors = first_vector_of(b + 1) - first_vector;
      int8_t* to = packed->weights + first_vector * words * 64;
      for (int64_t v = 0; v < vectors; ++v) {
        for (int64_t i = 0; i < kLanes; ++i) {
          const int64_t c = first_vector * kLanes + channel_of(v, i, vectors, out_ != Out::kFloat);
          if (c >= g_.out_c) continue;
          int32_t sum = 0;
          for (int64_t tap = 0; tap < taps; ++tap) {
            const int64_t run = tap * runs_.count / taps, first = tap % (taps / runs_.count) * g_.in_c;
            for (int64_t k = 0; k < g_.in_c; ++k) {
              const int8_t value = w[(c * g_.in_c + k) * taps + tap];
              const int64_t word = run * runs_.words() + (first + k) / 4;
              to[(word * vectors + v) * 64 + 4 * i + (first + k) % 4] = value;
              sum += value;
            }
          }
          const int64_t at_term = (first_vector + v) * kLanes + i;
          packed->start[at_term] = static_cast<int32_t>(-int64_t{offset_} * sum);
          packed->multiplier[at_term] = packed->terms.multiplier[c];
          packed->bias[at_term] = packed->terms.bias[c];
          largest = std::max(largest, std::fabs(double{packed->terms.multiplier[c]}) * packed->max_abs_sum * 255 +
                                          std::fabs(double{packed->terms.bias[c]}));
        }
      }
    }
    if (stage_.sum != Sum::kNone) largest += 256.0 * std::fabs(double{stage_.sum_multiplier});
    packed->fits = largest < 1e9 && 2 * packed->max_abs_sum < std::numeric_limits<int32_t>::max() / 256;
    return packed;
  }

  // Blocks have equally many vectors of channels, as nearly as they can: few use few registers.
  int64_t first_vector_of(int64_t block) const { return vectors_ * block / blocks_; }

  Stage make_stage() const {
    const ActBounds bounds = act_bounds(stage_);
    Stage s;
    s.zero_point = static_cast<float>(stage_.out_zero_point);
    s.sum_flip = residual_ == DType::kInt8 ? 128 : 0;
    s.sum_zero_point = static_cast<float>(stage_.sum_zero_point + s.sum_flip);
    s.sum_multiplier = stage_.sum_multiplier;
    s.low = bounds.low_byte;
    s.high = bounds.high_byte;
    s.low_value = bounds.low;
    s.high_value = bounds.high;
    return s;
  }

  void copy_padded(const uint8_t* from, uint8_t* to) const {
    const int64_t row = source_.width * g_.in_c, left = g_.pad_left * g_.in_c;
    const int64_t inside = std::min(g_.in_w, source_.width - g_.pad_left) * g_.in_c;
    parallel_for(g_.batch * source_.height, 2 * row, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t y = i % source_.height - g_.pad_top;
        uint8_t* dst = to + i * row;
        if (y < 0 || y >= g_.in_h || inside <= 0) {
          std::memset(dst, offset_, row);
          continue;
        }
        std::memset(dst, offset_, left);
        move(from + (i / source_.height * g_.in_h + y) * g_.in_w * g_.in_c, dst + left, inside);
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
    const Source* source;
    const Stage* stage;
    const TilesPacked* packed;
    const Tensor *residual, *out;
  };

  // Tiles [from, to) for a block of channels.
  void run_tiles(const Job& job, int64_t block, int64_t from, int64_t to) const {
    const int64_t words = runs_.count * runs_.words(), size = static_cast<int64_t>(size_of(job.out->dtype()));
    const int64_t vector = first_vector_of(block), vectors = first_vector_of(block + 1) - vector,
                  first = vector * kLanes;
    const int64_t channels = std::min(vectors * kLanes, g_.out_c - first);
    const bool is_flat = !copies_ && g_.kernel_h * g_.kernel_w * g_.stride_h * g_.stride_w == 1;
    const uint8_t* residual = job.residual ? job.residual->as<const uint8_t>() + first : nullptr;
    uint8_t* out = job.out->as<uint8_t>() + first * size;
    const TileLoop* loops = loops_.of[vectors - 1];
    Tile t;
    t.weights = job.packed->weights + vector * words * 64;
    t.start = job.packed->start + first;
    t.multiplier = job.packed->multiplier + first;
    t.bias = job.packed->bias + first;
    t.live = channels == 64 ? ~uint64_t{0} : (uint64_t{1} << channels) - 1;
    t.pixel_bytes = job.out->row_bytes ? job.out->row_bytes : g_.out_c * size;
    t.residual_pixel_bytes = g_.out_c;
    int64_t p = from * tile_pixels_;
    const int64_t end = std::min(to * tile_pixels_, g_.pixels());
    const auto left = [&](int64_t at) { return std::min(tile_pixels_, end - at); };
    Walk walk(*this, job.source->data, p);
    Joined joined[2];
    if (joins_) join(&walk, left(p), &joined[0]);
    for (bool odd = false; p < end; odd = !odd) {
      const int64_t n = left(p);
      t.out = out + p * t.pixel_bytes;
      t.residual = residual ? residual + p * g_.out_c : nullptr;
      if (is_flat) {
        for (int64_t k = 0; k < n; ++k) t.x[k] = job.source->data + (p + k) * g_.in_c;
      } else if (joins_) {
        for (int64_t k = 0; k < n; ++k) t.x[k] = joined[odd].bytes + k * runs_.bytes;
        // A tile ahead: words that span two stores are slow to read before these have reached the cache.
        join(&walk, left(p + n), &joined[!odd]);
      } else {
        for (int64_t k = 0; k < n; ++k) t.x[k] = walk.next();
      }
      p += n;
      loops[n - 1](t, *job.source, *job.stage);
    }
  }

  // Where the input of one output after the other begins.
  class Walk {
   public:
    Walk(const ConvTiles& conv, const uint8_t* data, int64_t pixel)
        : width_(conv.g_.out_w),
          height_(conv.g_.out_h),
          step_(conv.g_.stride_w * conv.g_.in_c),
          x_(pixel % width_),
          y_(pixel / width_ % height_) {
      const int64_t row = conv.source_.width * conv.g_.in_c;
      to_line_ = conv.g_.stride_h * row - width_ * step_;
      to_image_ = (conv.source_.height - height_ * conv.g_.stride_h) * row;
      at_ = data + (pixel / width_ / height_ * conv.source_.height + y_ * conv.g_.stride_h) * row + x_ * step_;
    }

    const uint8_t* next() {
      const uint8_t* here = at_;
      at_ += step_;
      if (++x_ == width_) {
        x_ = 0;
        at_ += to_line_;
        if (++y_ == height_) y_ = 0, at_ += to_image_;
      }
      return here;
    }

   private:
    const int64_t width_, height_, step_;  // of the output, and from one pixel to the next
    int64_t x_, y_, to_line_, to_image_;
    const uint8_t* at_;
  };

  // A tile's pixels, each with all that is under the kernel. What is moved ends up to kMoved bytes late.
  struct Joined {
    uint8_t bytes[kMaxPixels * kMaxJoined + kMoved];
  };

  void join(Walk* walk, int64_t pixels, Joined* to) const {
    if (read_.bytes <= 16) return join<16>(walk, pixels, to->bytes);
    join<kMoved>(walk, pixels, to->bytes);
  }

  template <int64_t kBytes>
  void join(Walk* walk, int64_t pixels, uint8_t* to) const {
    for (int64_t k = 0; k < pixels; ++k) {
      const uint8_t* x = walk->next();
      for (const int64_t run : run_at_) {
        std::memcpy(to, x + run, kBytes);
        to += read_.bytes;
      }
    }
  }

  const OutputStage stage_;
  const ConvGeometry g_;
  const Runs read_, runs_;  // of the image, and of what is multiplied
  const DType residual_;
  KernelPtr any_;  // for scales so large that it does not matter how long it takes
  bool copies_, is_int8_, joins_;
  int offset_;
  int64_t vectors_, blocks_;  // of 16 channels, and of up to 4 vectors
  int64_t tile_pixels_;
  Out out_;
  std::string format_;
  TileLoops loops_;
  std::vector<int64_t> run_at_;
  Source source_;
};

}  // namespace

// Measured on a Zen 4 against oneDNN 3.2, which skips products with padding and rounds up the input's channels to 4:
// 1x1 1.0 to 1.7 times as fast, 3x3 0.85 to 1.1, first layers 1.1 to 1.4. With AMX oneDNN has twice the products.
double tiles_speed(const Op& op, const std::vector<TensorType>& in) {
  if (cpu_has_amx()) return 0.5;
  const ConvGeometry g = static_cast<const LinearOp&>(op).geometry(in[0].shape);
  if (g.kernel_h * g.kernel_w == 1) return 1.2;
  const Runs runs = joined(runs_of(g));
  return 8 * runs.count * runs.words() <= 7 * g.kernel_h * g.kernel_w * ((g.in_c + 3) / 4) ? 1.2 : 0.97;
}

KernelPtr cpu_conv_tiles(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                         std::string* why_not) {
  const auto& conv = static_cast<const LinearOp&>(op);
  const OutputStage& stage = conv.stage;
  const ConvGeometry g = conv.geometry(in[0].shape);
  const bool is_float = stage.out_type == DType::kFloat32;
  const bool sums = stage.sum != Sum::kNone;
  if (!cpu_has_vnni()) {
    *why_not = "the processor has no AVX-512 VNNI";
  } else if (g.groups != 1) {
    *why_not = "it is for convolutions without groups";
  } else if (stage.out_type == DType::kInt32 || stage.act == Act::kLeaky || stage.sum == Sum::kAfterAct ||
             (sums && is_float)) {
    *why_not = "it has no int32 output, no LeakyReLU and only sums of 8-bit values before the activation";
  } else if (g.pixels() >= int64_t{1} << 31) {
    *why_not = "it is for fewer pixels";
  } else {
    const DType residual = sums ? in[stage.residual_index()].dtype : DType::kUnknown;
    return std::make_shared<ConvTiles>(conv, g, in[0].dtype, residual, ref_linear(op, in, out, why_not));
  }
  return nullptr;
}

}  // namespace mxq
