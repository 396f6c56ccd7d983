#include "../ops/resize.h"

#include <cstring>

#include "../ops/eight_bit.h"

namespace mxq {
namespace {

class RefResize : public Kernel {
 public:
  explicit RefResize(const ResizeGeometry& g) : g_(g) {}

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    for (int64_t i = 0; i < out[0].size(); ++i) {
      const int64_t c = i % g_.channels, pixel = i / g_.channels;
      const int64_t plane = pixel / (g_.h.out * g_.w.out);
      const ResizeTap y = g_.h.tap(pixel / g_.w.out % g_.h.out), x = g_.w.tap(pixel % g_.w.out);
      const float upper = row(in[0], plane, y.low, x, c), lower = row(in[0], plane, y.high, x, c);
      write_value(out[0], i, blend(upper, lower, y.low_weight, y.high_weight), 0);
    }
  }

 private:
  float row(const Tensor& data, int64_t plane, int64_t h, const ResizeTap& x, int64_t c) const {
    const int64_t first = (plane * g_.h.in + h) * g_.w.in;
    return blend(value(data, (first + x.low) * g_.channels + c), value(data, (first + x.high) * g_.channels + c),
                 x.low_weight, x.high_weight);
  }

  float value(const Tensor& data, int64_t i) const {
    return data.dtype() == DType::kFloat32 ? data.as<float>()[i] : static_cast<float>(read_8bit(data, i));
  }

  const ResizeGeometry g_;
};

class RefCopy : public Kernel {
 public:
  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    const size_t bytes = static_cast<size_t>(in[0].size()) * size_of(in[0].dtype());
    if (bytes > 0) std::memcpy(out[0].data, in[0].data, bytes);
  }
};

}  // namespace

KernelPtr ref_resize(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>&, std::string*) {
  const ResizeGeometry g = static_cast<const ResizeOp&>(op).geometry(in[0].shape);
  if (g.is_copy()) return std::make_shared<RefCopy>();
  return std::make_shared<RefResize>(g);
}

}  // namespace mxq
