// Convolution with one input channel per group, vectorized over channels.
#pragma once

#include <string>

#include "../ops/conv.h"
#include "packed_weights.h"

namespace mxq {

inline bool is_depthwise(const ConvGeometry& g) { return g.group_in() == 1 && g.groups > 1; }

std::shared_ptr<Packed> pack_depthwise(const ConvGeometry& g, const OutputStage& stage, const LayerParams& params);

void run_depthwise(const ConvGeometry& g, const OutputStage& stage, const Packed& packed, const Tensor& data,
                   const Tensor* residual, const Tensor& out);

}  // namespace mxq
