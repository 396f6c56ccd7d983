// What this folder adds to the operator table.
#pragma once

#include <string>
#include <vector>

#include "../core/op.h"

namespace mxq {

// Implementations of an operator for GPUs, best first; empty where there is none.
std::vector<Implementation> cuda_implementations(const std::string& op);

namespace cuda {

#define MXQ_CUDA_FACTORY(name)                                                                        \
  KernelPtr name(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out, \
                 std::string* why_not)
MXQ_CUDA_FACTORY(linear_auto);
MXQ_CUDA_FACTORY(linear_direct);
MXQ_CUDA_FACTORY(conv_depthwise);
MXQ_CUDA_FACTORY(quantize_v2);
MXQ_CUDA_FACTORY(dequantize);
MXQ_CUDA_FACTORY(requantize);
MXQ_CUDA_FACTORY(lut);
MXQ_CUDA_FACTORY(affine);
MXQ_CUDA_FACTORY(lrn);
MXQ_CUDA_FACTORY(quantize_fine);
MXQ_CUDA_FACTORY(dequantize_fine);
MXQ_CUDA_FACTORY(pooling);
MXQ_CUDA_FACTORY(concat);
MXQ_CUDA_FACTORY(elemwise);
MXQ_CUDA_FACTORY(strided_copy);
MXQ_CUDA_FACTORY(pad);
MXQ_CUDA_FACTORY(resize);
MXQ_CUDA_FACTORY(region);

// One of the tile shapes, whatever the layer.
template <int kTile>
MXQ_CUDA_FACTORY(linear_with_tile);
extern template MXQ_CUDA_FACTORY(linear_with_tile<0>);
extern template MXQ_CUDA_FACTORY(linear_with_tile<1>);
extern template MXQ_CUDA_FACTORY(linear_with_tile<2>);
extern template MXQ_CUDA_FACTORY(linear_with_tile<3>);
extern template MXQ_CUDA_FACTORY(linear_with_tile<4>);
extern template MXQ_CUDA_FACTORY(linear_with_tile<5>);

}  // namespace cuda
}  // namespace mxq
