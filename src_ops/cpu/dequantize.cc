#include "../ops/dequantize.h"

#include "../ops/layout.h"
#include "channels.h"
#include "clones.h"

namespace mxq {
namespace {

MXQ_CLONES void scale_i32(const int32_t* __restrict src, float* __restrict dst, int64_t n, float scale) {
  for (int64_t i = 0; i < n; ++i) dst[i] = static_cast<float>(src[i]) * scale;
}

// One scale for each element: rows of channels-last data.
MXQ_CLONES void scales_i32(const int32_t* __restrict src, float* __restrict dst, int64_t n,
                           const float* __restrict scale) {
  for (int64_t i = 0; i < n; ++i) dst[i] = static_cast<float>(src[i]) * scale[i];
}
MXQ_CLONES void scales_i8(const int8_t* __restrict src, float* __restrict dst, int64_t n,
                          const float* __restrict scale) {
  for (int64_t i = 0; i < n; ++i) dst[i] = static_cast<float>(src[i]) * scale[i];
}
MXQ_CLONES void scales_u8(const uint8_t* __restrict src, float* __restrict dst, int64_t n,
                          const float* __restrict scale) {
  for (int64_t i = 0; i < n; ++i) dst[i] = static_cast<float>(src[i]) * scale[i];
}

void scale_run(const Tensor& data, int64_t offset, float* dst, int64_t n, const QParams& from) {
  if (data.dtype() == DType::kInt32) {
    scale_i32(data.as<int32_t>() + offset, dst, n, from.scale);
  } else {
    dequantize_row(data.as<uint8_t>() + offset, dst, n, from, data.dtype());
  }
}

void scales_run(const Tensor& data, int64_t offset, float* dst, int64_t n, const float* scale) {
  if (data.dtype() == DType::kInt32) {
    scales_i32(data.as<int32_t>() + offset, dst, n, scale);
  } else if (data.dtype() == DType::kInt8) {
    scales_i8(data.as<int8_t>() + offset, dst, n, scale);
  } else {
    scales_u8(data.as<uint8_t>() + offset, dst, n, scale);
  }
}

class CpuDequantize : public Kernel {
 public:
  explicit CpuDequantize(const DequantizeOp& op) : op_(op) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    const Tensor& data = in[0];
    float* const to = out[0].as<float>();
    if (data.size() == 0) return;
    const Shape& shape = data.shape();
    const int64_t channels = op_.channels_first ? shape.back() : 1;
    const int64_t spatial = op_.channels_first ? data.size() / (shape[0] * channels) : 1;
    const bool moves = channels > 1 && spatial > 1;
    const float* const scales = op_.ranges == DequantizeOp::Ranges::kChannel ? in[1].as<float>() : nullptr;
    const int64_t item = size_of(data.dtype());
    if (!scales) {
      const QParams from = op_.qparams_of(in);
      if (!moves) {
        parallel_for(data.size(), item + sizeof(float),
                     [&](int64_t begin, int64_t end) { scale_run(data, begin, to + begin, end - begin, from); });
      } else if (item == 1) {
        move_bytes(data, to, channels, spatial, [&](int64_t, int64_t) { return from; });
      } else {
        move_int32(data, to, channels, spatial, [&](int64_t, int64_t) { return from.scale; });
      }
      return;
    }
    const int64_t axis = axis_of(shape, op_.axis);
    if (!moves) {
      keep(data, to, axis, scales);
      return;
    }
    const bool last = axis > 0;  // else the scales belong to the batch
    auto scale_at = [&](int64_t n, int64_t c) { return scales[last ? c : n]; };
    if (item == 1) {
      move_bytes(data, to, channels, spatial, [&](int64_t n, int64_t c) { return QParams{scale_at(n, c), 0}; });
    } else {
      move_int32(data, to, channels, spatial, scale_at);
    }
  }

 private:
  static void keep(const Tensor& data, float* to, int64_t axis, const float* scales) {
    const Shape& shape = data.shape();
    const int64_t channels = shape[axis];
    int64_t after = 1;
    for (size_t i = axis + 1; i < shape.size(); ++i) after *= shape[i];
    const int64_t rows = data.size() / after;
    const int64_t bytes = size_of(data.dtype()) + sizeof(float);
    if (after == 1) {
      parallel_for(rows / channels, channels * bytes, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) scales_run(data, r * channels, to + r * channels, channels, scales);
      });
      return;
    }
    parallel_for(rows, after * bytes, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        scale_run(data, r * after, to + r * after, after, {scales[r % channels], 0});
    });
  }

  template <class QParamsAt>
  static void move_bytes(const Tensor& data, float* to, int64_t channels, int64_t spatial, QParamsAt qparams_at) {
    from_channels_last(data.as<uint8_t>(), data.shape()[0], channels, spatial, sizeof(float),
                       [&](const uint8_t* row, int64_t batch, int64_t c, int64_t offset, int64_t n) {
                         dequantize_row(row, to + offset, n, qparams_at(batch, c), data.dtype());
                       });
  }

  template <class ScaleAt>
  static void move_int32(const Tensor& data, float* to, int64_t channels, int64_t spatial, ScaleAt scale_at) {
    constexpr int64_t kBlock = 16;  // a cache line of the source: read once, for 16 rows of the target
    const int32_t* from = data.as<int32_t>();
    const int64_t blocks = (channels + kBlock - 1) / kBlock;
    parallel_for(data.shape()[0] * blocks, kBlock * spatial * 8, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t n = i / blocks, first = i % blocks * kBlock, behind = std::min(channels, first + kBlock);
        float scale[kBlock];
        for (int64_t c = first; c < behind; ++c) scale[c - first] = scale_at(n, c);
        for (int64_t s = 0; s < spatial; ++s) {
          const int32_t* pixel = from + (n * spatial + s) * channels;
          for (int64_t c = first; c < behind; ++c) {
            to[(n * channels + c) * spatial + s] = static_cast<float>(pixel[c]) * scale[c - first];
          }
        }
      }
    });
  }

  const DequantizeOp op_;
};

}  // namespace

KernelPtr cpu_dequantize(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>&,
                         std::string* why_not) {
  const auto& dequantize = static_cast<const DequantizeOp&>(op);
  const Shape& shape = in[0].shape;
  if (dequantize.fine_steps > 1) {
    *why_not = "fine_steps";  // only networks that run in float to be looked at have it
    return nullptr;
  }
  if (dequantize.channels_first && dequantize.ranges == DequantizeOp::Ranges::kChannel) {
    const int64_t axis = axis_of(shape, dequantize.axis);
    if (axis != 0 && axis != static_cast<int64_t>(shape.size()) - 1) {
      *why_not = "scales along a spatial axis while the layout changes";
      return nullptr;
    }
  }
  return std::make_shared<CpuDequantize>(dequantize);
}

}  // namespace mxq
