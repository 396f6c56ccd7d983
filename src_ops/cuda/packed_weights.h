// Weights as the matrix product wants them, on the device.
//
// Whether packed weights still belong to the weights of a call has to be known without reading them: the host cannot
// look at device memory without waiting for it. Address and version, which the host does know, are enough for one
// state (one node of one executor) whose parameters MXNet holds (Known::kVersions): it changes the version with every
// write, and an executor's arrays are not freed under it. They are not enough between states, where an array may have
// been freed and another one allocated at its address with the same version. So packed weights belong to a state and
// are never shared: a state's first call packs into MXNet's temporary space, its second one into memory of its own, and
// later ones find them there. Where MXNet makes a new state for every forward (plain hybridize), every forward packs: a
// kernel more per layer, and always right.
#pragma once

#include <cstdint>
#include <vector>

#include "fault.h"
#include "linear.h"

namespace mxq {
namespace cuda {

// Where the parts of a packed layer lie, from its start.
struct PackedLayout {
  int64_t weight, multiplier, bias, slope, correction, bias_int, bytes;
};
PackedLayout packed_layout(int out_c, int depth);

struct PackParams {
  const int8_t* weight;
  const float* weight_scale;
  const int32_t* bias;  // may be null
  const float* slope;   // null where all channels have leaky_slope
  char* packed;
  PackedLayout layout;
  FaultSink fault;
  int out_c, group_in, kernel_h, kernel_w;
  int run, run_padded, depth;
  int pitch;  // 0: a row of `depth` for each output channel; else the channels of one position, and so many of them
  int inner;  // bytes of a run that belong to one column of the kernel; run_padded where a run has only one
  float in_scale, out_scale, leaky_slope;
  int zero_point, is_int32, to_kernel_row;  // to_kernel_row: a run holds a row of the kernel
};

// Finds the packed form for this call, packing on the stream where it has to. `temporary` is memory of this call for
// it. `in` are the inputs of the operator, of which weight, scale, bias and slope are parameters.
const char* find_packed(PackParams params, const std::vector<Tensor>& in, const OutputStage& stage,
                        const RunContext& context, char* temporary);

}  // namespace cuda
}  // namespace mxq
