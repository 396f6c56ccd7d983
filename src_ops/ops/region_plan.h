// Where every tensor of a region lives, for any device: views, sums in place, memory used again.
#pragma once

#include <string>
#include <vector>

#include "../core/op.h"
#include "region.h"

namespace mxq {

// Memory of one tensor: an input or an output of the region by number, or a place in the arena or in the packed
// parameters, the last input, by offset.
struct Place {
  enum Kind { kInput, kOutput, kArena, kPacked } kind;
  size_t at;
  int64_t row_bytes = 0;  // Tensor::row_bytes
  char* of(const std::vector<Tensor>& in, const std::vector<Tensor>& out, char* arena) const {
    return kind == kInput    ? in[at].as<char>()
           : kind == kOutput ? out[at].as<char>()
           : kind == kArena  ? arena + at
                             : in.back().as<char>() + at;
  }
  uint64_t version(const std::vector<Tensor>& in) const {
    return kind == kInput ? in[at].version : kind == kPacked ? in.back().version : 0;
  }
};

struct RegionStep {
  const RegionLine* line;
  KernelPtr kernel;
  const char* implementation;
  std::vector<TensorType> in_types, out_types;
  std::vector<Place> in, out;
  bool keeps_inputs;  // of the region only, so that whoever runs it can tell whether they changed
};

struct RegionPlan {
  std::shared_ptr<const std::vector<RegionLine>> lines;
  std::vector<RegionStep> steps;  // without views
  size_t arena_bytes = 0;
  std::vector<int> kept_inputs;  // of the region, by kernels
};

RegionPlan plan_region(const RegionOp& op, const std::vector<TensorType>& in, Device device = Device::kCpu);

}  // namespace mxq
