// A matrix product, not oneDNN's inner product: as fast for one row and for many, and it takes every zero point.
#include <algorithm>

#include "../ops/fully_connected.h"
#include "onednn.h"
#include "parallel.h"

namespace mxq {
namespace {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;

class Products {
 public:
  Products(const LinearOp& op, const std::vector<TensorType>& in)
      : stage_(op.stage), data_(in[0].dtype), g_(op.geometry(in[0].shape)) {
    residual_ = stage_.sum == Sum::kNone ? DType::kUnknown : in[stage_.residual_index()].dtype;
  }

  // Rows or columns of the result, whichever are more, in parts of equal size but for the last.
  onednn::Linear make(int64_t threads, std::string* why_not) const {
    constexpr int64_t kPartsPerThread = 2, kFewest = 64;
    const int64_t rows = g_.pixels(), columns = g_.out_c, of = std::max(rows, columns);
    const bool by_rows = rows > columns;
    int64_t each = of;
    if (threads > 1 && rows * columns * g_.in_c >= kBytesPerThread * threads) {
      const int64_t parts = kPartsPerThread * threads;
      each = std::max(kFewest, ((of + parts - 1) / parts + kFewest - 1) / kFewest * kFewest);
    }
    onednn::Linear linear;
    for (int64_t first = 0; first < of; first += each) {
      const int64_t size = std::min(each, of - first);
      if (first == 0 || size < each) {
        linear.primitives.push_back(
            by_rows ? product(size, columns, first ? &linear.primitives[0].weights : nullptr, why_not)
                    : product(rows, size, nullptr, why_not));
        if (!linear.primitives.back().primitive) return {};
      }
      const size_t primitive = linear.primitives.size() - 1;
      if (by_rows) {
        if (first == 0) linear.blocks.push_back({0, columns, 0});
        linear.parts.push_back({primitive, 0, first * g_.in_c, first * columns});
      } else {
        linear.parts.push_back({primitive, linear.blocks.size(), 0, first});
        linear.blocks.push_back({first, size, primitive});
      }
    }
    return linear;
  }

 private:
  onednn::Primitive product(int64_t rows, int64_t columns, const Desc* weights, std::string* why_not) const {
    const auto s8 = dnnl::memory::data_type::s8, f32 = dnnl::memory::data_type::f32;
    onednn::Primitive made;
    made.src = Desc({rows, g_.in_c}, onednn::type_of(data_), Tag::ab);
    made.dst = Desc({rows, columns}, onednn::type_of(stage_.out_type), dnnl::memory::dims{g_.out_c, 1});
    made.weights_plain = Desc({g_.in_c, columns}, s8, Tag::ba);
    if (!stage_.no_bias && stage_.out_type != DType::kInt32) made.bias = Desc({1, columns}, f32, Tag::ab);
    const dnnl::matmul::primitive_desc desc(onednn::engine(), made.src,
                                            weights ? *weights : Desc({g_.in_c, columns}, s8, Tag::any), made.bias,
                                            made.dst, onednn::stage_attr(stage_, residual_, 1 << 1));
    const std::string kernel = desc.impl_info_str();
    if (kernel.compare(0, 4, "brg:") != 0) {  // its gemm and reference kernels round in other orders
      *why_not = "oneDNN has only " + kernel;
      return made;
    }
    made.weights = desc.weights_desc();
    made.scratchpad = desc.scratchpad_desc();
    made.primitive = dnnl::matmul(desc);
    return made;
  }

  const OutputStage& stage_;
  DType data_, residual_ = DType::kUnknown;
  ConvGeometry g_;
};

}  // namespace

KernelPtr cpu_fully_connected_onednn(const Op& op, const std::vector<TensorType>& in,
                                     const std::vector<TensorType>& out, std::string* why_not) {
  const auto& linear_op = static_cast<const LinearOp&>(op);
  const Products products(linear_op, in);
  const auto make = [&](int64_t threads, std::string* reason) { return products.make(threads, reason); };
  return onednn::make_kernel(linear_op, in, out, make, why_not);
}

}  // namespace mxq
