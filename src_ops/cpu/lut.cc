#include "../ops/lut.h"

#include <cstring>

#include "../ops/layout.h"
#include "channels.h"

namespace mxq {
namespace {

// The data as (before, rows, after), where `rows` is what each row of the table belongs to (1 for a single table).
struct View {
  int64_t before, rows, after;
};

View view_of(const Shape& shape, int64_t axis, bool per_channel) {
  View view{1, 1, 1};
  for (int64_t i = 0; i < static_cast<int64_t>(shape.size()); ++i) {
    (!per_channel || i > axis ? view.after : i == axis ? view.rows : view.before) *= shape[i];
  }
  return view;
}

class CpuLut : public Kernel {
 public:
  explicit CpuLut(const LutOp& op) : op_(op) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    const Tensor& data = in[0];
    if (data.size() == 0) return;
    const Shape& shape = data.shape();
    const bool per_channel = in[1].shape().size() == 2;
    const int64_t channels = op_.channels_last ? shape[1] : 1;
    const int64_t spatial = op_.channels_last ? data.size() / (shape[0] * channels) : 1;
    if (channels > 1 && spatial > 1) {
      move(in, out[0], channels, spatial, per_channel);
      return;
    }
    const View view = view_of(shape, per_channel ? axis_of(shape, op_.axis) : 0, per_channel);
    if (out[0].dtype() == DType::kFloat32) {
      keep(in, out[0].as<float>(), view);
    } else {
      keep(in, out[0].as<uint8_t>(), view);
    }
  }

 private:
  // A byte of data -> index: int8 counts from -128, which turns the top bit.
  static uint8_t flip_of(DType dtype) { return dtype == DType::kInt8 ? 0x80 : 0; }

  // The table as indexed by the byte itself.
  template <class T>
  static void unflip(const T* table, uint8_t flip, T* out) {
    const int half = flip ? 128 : 0;
    std::memcpy(out, table + half, (256 - half) * sizeof(T));
    std::memcpy(out + 256 - half, table, half * sizeof(T));
  }

  static void look_up(const uint8_t* src, uint8_t* dst, int64_t n, const uint8_t* table) {
    map_bytes(src, dst, n, table);
  }
  static void look_up(const uint8_t* src, float* dst, int64_t n, const float* table) {
    for (int64_t i = 0; i < n; ++i) dst[i] = table[src[i]];
  }

  template <class T>
  static void keep(const std::vector<Tensor>& in, T* out, const View& view) {
    const uint8_t* data = in[0].as<uint8_t>();
    const uint8_t flip = flip_of(in[0].dtype());
    const T* table = in[1].as<T>();
    constexpr int64_t kBytes = 1 + sizeof(T);
    if (view.rows == 1) {
      T plain[256];
      unflip(table, flip, plain);
      parallel_for(view.before * view.after, kBytes,
                   [&](int64_t begin, int64_t end) { look_up(data + begin, out + begin, end - begin, plain); });
      return;
    }
    if (view.after < 256) {  // short runs, down to 1 in channels-last data: do not copy a table for each
      parallel_for(view.before, view.rows * view.after * kBytes, [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; ++b) {
          for (int64_t r = 0; r < view.rows; ++r) {
            const int64_t at = (b * view.rows + r) * view.after;
            for (int64_t i = at; i < at + view.after; ++i) out[i] = table[r * 256 + (data[i] ^ flip)];
          }
        }
      });
      return;
    }
    parallel_for(view.before * view.rows, view.after * kBytes, [&](int64_t begin, int64_t end) {
      T plain[256];
      for (int64_t i = begin; i < end; ++i) {
        unflip(table + i % view.rows * 256, flip, plain);
        look_up(data + i * view.after, out + i * view.after, view.after, plain);
      }
    });
  }

  // Channels-first in, channels-last out.
  void move(const std::vector<Tensor>& in, const Tensor& out, int64_t channels, int64_t spatial,
            bool per_channel) const {
    const Tensor& data = in[0];
    const uint8_t flip = flip_of(data.dtype());
    const int64_t batch = data.shape()[0];
    if (out.dtype() == DType::kFloat32) {
      const float* table = in[1].as<float>();
      parallel_for(batch * spatial, channels * 5, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const uint8_t* src = data.as<uint8_t>() + i / spatial * channels * spatial + i % spatial;
          for (int64_t c = 0; c < channels; ++c) {
            out.as<float>()[i * channels + c] = table[(per_channel ? c * 256 : 0) + (src[c * spatial] ^ flip)];
          }
        }
      });
      return;
    }
    const uint8_t* table = in[1].as<uint8_t>();
    uint8_t plain[256];
    unflip(table, flip, plain);
    to_channels_last(batch, channels, spatial, 1, out.as<uint8_t>(),
                     [&](int64_t offset, int64_t c, uint8_t* row, int64_t n) {
                       if (!per_channel) return map_bytes(data.as<uint8_t>() + offset, row, n, plain);
                       uint8_t of_channel[256];
                       unflip(table + c * 256, flip, of_channel);
                       map_bytes(data.as<uint8_t>() + offset, row, n, of_channel);
                     });
  }

  const LutOp op_;
};

}  // namespace

KernelPtr cpu_lut(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>&,
                  std::string* why_not) {
  const auto& lut = static_cast<const LutOp&>(op);
  if (lut.channels_last && in[1].shape.size() == 2 && axis_of(in[0].shape, lut.axis) != 1) {
    *why_not = "a table per position of an axis other than 1 while the layout changes";
    return nullptr;
  }
  return std::make_shared<CpuLut>(lut);
}

}  // namespace mxq
