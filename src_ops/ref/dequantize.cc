#include "../ops/dequantize.h"

#include "../ops/layout.h"

namespace mxq {
namespace {

class RefDequantize : public Kernel {
 public:
  explicit RefDequantize(const DequantizeOp& op) : op_(op) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    const Tensor& data = in[0];
    const Shape& shape = data.shape();
    if (op_.fine_steps > 1) return run_fine(data, op_.qparams_of(in), out[0]);
    const bool per_channel = op_.ranges == DequantizeOp::Ranges::kChannel;
    const QParams from = per_channel ? QParams{1.0f, 0} : op_.qparams_of(in);
    const int64_t axis = per_channel ? axis_of(shape, op_.axis) : 0;
    int64_t after = 1;  // elements behind one step along the axis
    for (size_t i = axis + 1; i < shape.size(); ++i) after *= shape[i];
    const int64_t channels = op_.channels_first ? shape.back() : 1;
    const int64_t spatial = op_.channels_first && data.size() ? data.size() / (shape[0] * channels) : 1;
    for (int64_t i = 0; i < data.size(); ++i) {
      const float scale = per_channel ? in[1].as<float>()[i / after % shape[axis]] : from.scale;
      const float value = static_cast<float>(centred(data, i, from.zero_point)) * scale;
      int64_t at = i;
      if (op_.channels_first) {
        const int64_t n = i / (channels * spatial), s = i / channels % spatial, c = i % channels;
        at = (n * channels + c) * spatial + s;
      }
      out[0].as<float>()[at] = value;
    }
  }

 private:
  void run_fine(const Tensor& data, const QParams& from, const Tensor& out) const {
    if (data.size() == 0) return;
    const int64_t block = out.size() / out.shape()[0];  // of one example
    const float fine = multiplier(from.scale, op_.fine_steps);
    for (int64_t i = 0; i < out.size(); ++i) {
      const int64_t whole = i / block * 2 * block + i % block;
      out.as<float>()[i] = static_cast<float>(centred(data, whole, from.zero_point)) * from.scale +
                           static_cast<float>(centred(data, whole + block, from.zero_point)) * fine;
    }
  }

  static int64_t centred(const Tensor& data, int64_t i, int zero_point) {
    switch (data.dtype()) {
      case DType::kInt8:
        return data.as<int8_t>()[i] - zero_point;
      case DType::kUint8:
        return data.as<uint8_t>()[i] - zero_point;
      default:
        return static_cast<int64_t>(data.as<int32_t>()[i]) - zero_point;
    }
  }

  const DequantizeOp op_;
};

}  // namespace

KernelPtr ref_dequantize(const Op& op, const std::vector<TensorType>&, const std::vector<TensorType>&, std::string*) {
  return std::make_shared<RefDequantize>(static_cast<const DequantizeOp&>(op));
}

}  // namespace mxq
