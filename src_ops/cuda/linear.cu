#include <algorithm>
#include <limits>

#include "implementations.h"
#include "linear.h"
#include "packed_weights.h"
#include "pad_image.h"

namespace mxq {
namespace cuda {
namespace {

// A thread finishes `vector` sums. Splits lie one after another.
template <int kWidth>
__global__ void finish_kernel(LinearParams p) {
  const int64_t size = static_cast<int64_t>(p.pixels) * p.out_c;
  const int64_t at = static_cast<int64_t>(flat_index()) * kWidth;
  if (at >= size) return;
  int sums[kWidth] = {};
  for (int split = 0; split < p.splits; ++split) {
    for (int i = 0; i < kWidth; ++i) {
      sums[i] =
          static_cast<int>(static_cast<unsigned>(sums[i]) + static_cast<unsigned>(p.partial[split * size + at + i]));
    }
  }
  const int channel = static_cast<int>(at % p.out_c);
  Finish<kWidth> finish;
  finish.load(p, channel);
  finish.store(p, sums, at, channel);
}

// How a layer is cut into blocks.
struct Plan {
  int tile, splits;
};

// Microseconds that a plan is thought to take: blocks share the multiprocessors evenly, each is bound by its products
// or by what it brings from the second-level cache. To be replaced by measured tables where it chooses badly.
double estimate(const TileShape& tile, int splits, const LinearParams& p, int groups, const Chip& chip) {
  constexpr double kClock = 1.5e3;    // per microsecond
  constexpr double kProducts = 4096;  // per clock and multiprocessor at best
  constexpr double kCacheBytes = 48;  // the same
  constexpr double kStart = 1500, kFinishBytes = 24;
  const double steps = divide_up(p.steps, splits);
  const double blocks =
      static_cast<double>(divide_up(p.pixels, tile.rows)) * divide_up(p.group_out, tile.columns) * groups * splits;
  const double depth = steps * kDepthBlock, area = static_cast<double>(tile.rows) * tile.columns;
  const double products = area * depth / (kProducts * tile.speed);
  const double brings = (tile.rows + tile.columns) * depth / kCacheBytes;
  const double block = std::max(products, brings) + area * (splits > 1 ? 8 : 4) / kFinishBytes;
  const double rounds = std::ceil(blocks / chip.multiprocessors);
  double clocks = rounds * block + kStart;
  if (splits > 1) {
    clocks += 2.0 * kStart;  // another kernel
    clocks += static_cast<double>(p.pixels) * p.out_c * 4 * splits / (kCacheBytes * chip.multiprocessors);
  }
  return clocks / kClock;
}

bool runs(const TileShape& tile, const Chip& chip) {
  return chip.capability >= tile.least_capability && chip.shared_bytes >= tile.shared_bytes;
}

Plan choose(const LinearParams& p, int groups, int forced) {
  const Chip& c = chip();
  Plan best{-1, 1};
  double least = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kTileCount; ++i) {
    if (forced >= 0 ? i != forced : !runs(kTiles[i], c)) continue;
    for (int splits = 1; splits <= 16 && splits <= p.steps; splits *= 2) {
      const double time = estimate(kTiles[i], splits, p, groups, c);
      if (time < least) {
        least = time;
        best = {i, splits};
      }
    }
  }
  return best;
}

int granule_of(uint64_t together) {
  return together % 16 == 0 ? 16 : together % 8 == 0 ? 8 : together % 4 == 0 ? 4 : 1;
}

class Linear : public Kernel {
 public:
  Linear(const LinearOp& op, const Shape& data, DType data_type, DType residual, int forced)
      : op_stage_(op.stage), g_(op.geometry(data)), data_unsigned_(data_type == DType::kUint8), forced_(forced) {
    stage_ = stage_of(op.stage, residual);
    const int kernel_row = static_cast<int>(g_.kernel_w) * round_up<int>(g_.in_c, 4);
    const int64_t by_row = g_.kernel_h * round_up<int64_t>(kernel_row, kLine);
    const int64_t by_tap = g_.kernel_h * g_.kernel_w * round_up<int64_t>(g_.group_in(), kLine);
    // With few channels, the taps of a row of the kernel make one run: neighbouring pixels are neighbours in memory.
    rows_ = g_.groups == 1 && g_.dilate_w == 1 && by_row < by_tap;
    plain_ = plain_view();
    padded_ = rows_ ? row_view() : channel_view();
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    if (g_.pixels() == 0) return;
    const cudaStream_t stream = stream_of(*context);
    LinearParams p{};
    p.data = in[0].as<const uint8_t>();
    p.granule = rows_ ? 1 : granule_of(reinterpret_cast<uintptr_t>(p.data) | together(plain_));
    const bool copies = p.granule == 1;
    p.view = copies ? padded_ : plain_;
    p.pixels = static_cast<int>(g_.pixels());
    p.out_h = static_cast<int>(g_.out_h);
    p.out_w = static_cast<int>(g_.out_w);
    p.out_c = static_cast<int>(g_.out_c);
    p.group_out = static_cast<int>(g_.group_out());
    p.stage = stage_;
    p.out = out[0].data;
    if (op_stage_.sum != Sum::kNone) p.residual = in[op_stage_.residual_index()].as<const uint8_t>();
    p.vector = vector_of(p);
    p.steps = p.view.depth / kDepthBlock;
    const Plan plan = choose(p, static_cast<int>(g_.groups), forced_);
    const TileShape& tile = kTiles[plan.tile];
    p.n_tiles = divide_up(p.group_out, tile.columns);
    p.steps_per_split = divide_up(p.steps, plan.splits);
    p.splits = divide_up(p.steps, p.steps_per_split);

    const PackedLayout layout = packed_layout(p.out_c, p.view.depth);
    const int64_t image = copies ? round_up<int64_t>(g_.batch * p.view.image_pitch + kLine, 256) : 0;
    const int64_t partial = p.splits > 1 ? 4 * static_cast<int64_t>(p.splits) * p.pixels * p.out_c : 0;
    char* memory = static_cast<char*>(context->workspace(layout.bytes + image + partial));
    const char* packed = find_packed(pack_params(p.view, layout), in, op_stage_, *context, memory);
    if (copies) {
      PadImage pad = pad_image(p.view);
      pad.from = p.data;
      pad.to = reinterpret_cast<uint8_t*>(memory + layout.bytes);
      launch_pad_image(pad, stream);
      p.data = pad.to;
      p.granule = granule_of(together(p.view));
    }
    p.partial = reinterpret_cast<int32_t*>(memory + layout.bytes + image);
    p.pad_line = reinterpret_cast<const uint8_t*>(packed);
    p.weight = reinterpret_cast<const int8_t*>(packed + layout.weight);
    p.multiplier = reinterpret_cast<const float*>(packed + layout.multiplier);
    p.bias = reinterpret_cast<const float*>(packed + layout.bias);
    p.slope = reinterpret_cast<const float*>(packed + layout.slope);
    p.correction = reinterpret_cast<const int32_t*>(packed + layout.correction);
    p.bias_int = reinterpret_cast<const int32_t*>(packed + layout.bias_int);
    tile.launch(p, data_unsigned_, static_cast<int>(g_.groups), stream);
    if (p.splits > 1) launch_finish(p, stream);
  }

 private:
  // What the starts of all runs are multiples of, but for the address of the data.
  uint64_t together(const View& v) const {
    const int64_t step = rows_ ? static_cast<int64_t>(v.pixel_pitch) * v.stride_w : v.pixel_pitch;
    return static_cast<uint64_t>(step | v.row_pitch | v.image_pitch | v.group_pitch | v.run);
  }

  static void set_depth(View* v) {
    v->run_padded = round_up(v->run, kLine);
    v->depth = round_up(v->taps_h * v->taps_w * v->run_padded, kDepthBlock);
  }

  // The data as it lies.
  View plain_view() const {
    View v{};
    v.in_h = static_cast<int>(g_.in_h), v.in_w = static_cast<int>(g_.in_w);
    v.pixel_pitch = static_cast<int>(g_.in_c);
    v.group_pitch = v.run = static_cast<int>(g_.group_in());
    v.row_pitch = g_.in_w * v.pixel_pitch;
    v.image_pitch = g_.in_h * v.row_pitch;
    v.stride_h = static_cast<int>(g_.stride_h), v.stride_w = static_cast<int>(g_.stride_w);
    v.dilate_h = static_cast<int>(g_.dilate_h), v.dilate_w = static_cast<int>(g_.dilate_w);
    v.pad_top = static_cast<int>(g_.pad_top), v.pad_left = static_cast<int>(g_.pad_left);
    v.taps_h = static_cast<int>(g_.kernel_h), v.taps_w = static_cast<int>(g_.kernel_w);
    set_depth(&v);
    return v;
  }

  // A copy in which every group has a multiple of four channels.
  View channel_view() const {
    View v = plain_view();
    v.run = v.group_pitch = round_up<int>(v.run, 4);
    v.pixel_pitch = v.group_pitch * static_cast<int>(g_.groups);
    v.row_pitch = static_cast<int64_t>(v.in_w) * v.pixel_pitch;
    v.image_pitch = v.in_h * v.row_pitch;
    set_depth(&v);
    return v;
  }

  // A copy with the padding around it, in which a row of a window is one run. Runs read past the window, into other
  // pixels: the weights are zero there.
  View row_view() const {
    View v = plain_view();
    v.pixel_pitch = round_up<int>(v.run, 4);
    v.in_h += static_cast<int>(g_.pad_top + g_.pad_bottom);
    v.in_w += static_cast<int>(g_.pad_left + g_.pad_right);
    v.pad_top = v.pad_left = 0;
    v.run = round_up(v.taps_w * v.pixel_pitch, kLine);
    v.taps_w = 1;
    v.group_pitch = 0;
    v.row_pitch = round_up<int64_t>(static_cast<int64_t>(v.in_w) * v.pixel_pitch, kLine);
    v.image_pitch = v.in_h * v.row_pitch;
    set_depth(&v);
    return v;
  }

  PadImage pad_image(const View& v) const {
    PadImage pad{};
    pad.batch = static_cast<int>(g_.batch);
    pad.in_h = static_cast<int>(g_.in_h), pad.in_w = static_cast<int>(g_.in_w);
    pad.groups = static_cast<int>(g_.groups), pad.group_in = static_cast<int>(g_.group_in());
    pad.group_pitch = rows_ ? v.pixel_pitch : v.group_pitch;
    pad.top = rows_ ? static_cast<int>(g_.pad_top) : 0;
    pad.left = rows_ ? static_cast<int>(g_.pad_left) : 0;
    pad.out_h = v.in_h, pad.out_w = v.in_w;
    pad.pixel_pitch = v.pixel_pitch;
    pad.row_pitch = v.row_pitch, pad.image_pitch = v.image_pitch;
    pad.value = op_stage_.in_zero_point;
    return pad;
  }

  // Channels that one thread can write, and read of the residual, at once.
  int vector_of(const LinearParams& p) const {
    const uint64_t addresses = reinterpret_cast<uintptr_t>(p.out) | reinterpret_cast<uintptr_t>(p.residual);
    const int granule = granule_of(addresses | static_cast<uint64_t>(p.group_out));
    return granule == 16 ? 16 : granule >= 4 ? 4 : 1;
  }

  PackParams pack_params(const View& v, const PackedLayout& layout) const {
    PackParams pack{};
    pack.layout = layout;
    pack.out_c = static_cast<int>(g_.out_c), pack.group_in = static_cast<int>(g_.group_in());
    pack.kernel_h = static_cast<int>(g_.kernel_h), pack.kernel_w = static_cast<int>(g_.kernel_w);
    pack.run = v.run, pack.run_padded = v.run_padded, pack.depth = v.depth;
    pack.to_kernel_row = rows_;
    pack.inner = rows_ ? v.pixel_pitch : v.run_padded;
    pack.in_scale = op_stage_.in_scale, pack.out_scale = op_stage_.out_scale;
    pack.zero_point = op_stage_.in_zero_point;
    pack.is_int32 = op_stage_.out_type == DType::kInt32;
    pack.leaky_slope = op_stage_.act == Act::kLeaky ? op_stage_.act_alpha : 1.0f;
    return pack;
  }

  OutputStage op_stage_;
  ConvGeometry g_;
  Stage stage_;
  bool data_unsigned_;
  int forced_;  // tile, or -1
  bool rows_;   // a run is a row of the window
  View plain_, padded_;
};

bool is_possible(const LinearOp& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                 std::string* why_not) {
  if (!fits_32_bits(in, why_not) || !fits_32_bits(out, why_not)) return false;
  const ConvGeometry g = op.geometry(in[0].shape);
  const int64_t most = max_centred(in[0].dtype, op.stage.in_zero_point) * 128;
  if (g.depth() > std::numeric_limits<int32_t>::max() / most) {
    *why_not = "the sums of " + std::to_string(g.depth()) + " products might not fit 32 bits";
  } else if (g.depth() == 0) {
    *why_not = "there are no input channels";
  } else if (g.groups > 65535) {
    *why_not = "more than 65535 groups";
  }
  return why_not->empty();
}

KernelPtr make(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out, int tile,
               std::string* why_not) {
  const auto& linear = static_cast<const LinearOp&>(op);
  if (!is_possible(linear, in, out, why_not)) return nullptr;
  const int index = linear.stage.residual_index();
  return std::make_shared<Linear>(linear, in[0].shape, in[0].dtype, index < 0 ? DType::kUnknown : in[index].dtype,
                                  tile);
}

}  // namespace

void launch_finish(const LinearParams& p, cudaStream_t stream) {
  const int64_t size = static_cast<int64_t>(p.pixels) * p.out_c;
  const auto kernel = p.vector == 16 ? finish_kernel<16> : p.vector == 4 ? finish_kernel<4> : finish_kernel<1>;
  launch_flat(kernel, size / p.vector, stream, p);
}

MXQ_CUDA_FACTORY(linear_auto) {
  const Chip& c = chip();
  bool any = false;
  for (int i = 0; i < kTileCount; ++i) any = any || runs(kTiles[i], c);
  if (!any) {
    *why_not = "compute capability " + std::to_string(c.capability) + " has neither int8 tensor cores nor dp4a";
    return nullptr;
  }
  return make(op, in, out, -1, why_not);
}

template <int kTile>
MXQ_CUDA_FACTORY(linear_with_tile) {
  if (!runs(kTiles[kTile], chip())) {
    *why_not = std::string("this GPU cannot run the tile ") + kTiles[kTile].name;
    return nullptr;
  }
  return make(op, in, out, kTile, why_not);
}
template MXQ_CUDA_FACTORY(linear_with_tile<0>);
template MXQ_CUDA_FACTORY(linear_with_tile<1>);
template MXQ_CUDA_FACTORY(linear_with_tile<2>);
template MXQ_CUDA_FACTORY(linear_with_tile<3>);
template MXQ_CUDA_FACTORY(linear_with_tile<4>);
template MXQ_CUDA_FACTORY(linear_with_tile<5>);

}  // namespace cuda
}  // namespace mxq
