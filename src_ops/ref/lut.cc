#include "../ops/lut.h"

#include "../ops/layout.h"

namespace mxq {
namespace {

class RefLut : public Kernel {
 public:
  explicit RefLut(const LutOp& op) : op_(op) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    if (out[0].dtype() == DType::kFloat32) {
      look_up(in, out[0].as<float>());
    } else {  // int8 and uint8 are bytes alike
      look_up(in, out[0].as<uint8_t>());
    }
  }

 private:
  template <class T>
  void look_up(const std::vector<Tensor>& in, T* out) const {
    const Tensor& data = in[0];
    const Shape& shape = data.shape();
    const bool per_channel = in[1].shape().size() == 2;
    const int64_t axis = per_channel ? axis_of(shape, op_.axis) : 0;
    int64_t after = 1;  // elements behind one step along the axis
    for (size_t i = axis + 1; i < shape.size(); ++i) after *= shape[i];
    const int64_t channels = op_.channels_last ? shape[1] : 1;
    const int64_t spatial = op_.channels_last && data.size() ? data.size() / (shape[0] * channels) : 1;
    for (int64_t i = 0; i < data.size(); ++i) {
      const int index = data.dtype() == DType::kInt8 ? data.as<int8_t>()[i] + 128 : data.as<uint8_t>()[i];
      const int64_t row = per_channel ? i / after % shape[axis] : 0;
      int64_t at = i;
      if (op_.channels_last) {
        const int64_t n = i / (channels * spatial), c = i / spatial % channels, s = i % spatial;
        at = (n * spatial + s) * channels + c;
      }
      out[at] = in[1].as<T>()[row * 256 + index];
    }
  }

  const LutOp op_;
};

}  // namespace

KernelPtr ref_lut(const Op& op, const std::vector<TensorType>&, const std::vector<TensorType>&, std::string*) {
  return std::make_shared<RefLut>(static_cast<const LutOp&>(op));
}

}  // namespace mxq
