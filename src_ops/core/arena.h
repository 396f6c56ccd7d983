// Places for tensors that live at different times in one block of memory.
#pragma once

#include <cstddef>
#include <vector>

namespace mxq {

// A tensor of `bytes` that is written in step `first` and read until step `last`, both included.
struct Lifetime {
  size_t bytes;
  int first, last;
};

struct Arena {
  std::vector<size_t> offsets;  // of each tensor; multiples of 64
  size_t bytes = 0;             // of the whole block
};

// Largest first, each at the lowest place that is free throughout its life.
Arena arrange(const std::vector<Lifetime>& lives);

}  // namespace mxq
