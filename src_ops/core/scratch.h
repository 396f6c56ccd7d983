// Scratch memory of one forward call.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace mxq {

// Hands out 64-byte aligned blocks that stay valid until reset(). MXNet's own temporary space gives every caller within
// one operator the same buffer, and takes an int as size: neither holds for an operator that asks twice.
class Scratch {
 public:
  void* take(size_t bytes);
  // Gives all blocks back; keeps one block as large as the call needed, unless it is larger than kKeep.
  void reset();

 private:
  static constexpr size_t kKeep = size_t{256} << 20;
  struct Block {
    std::shared_ptr<char> data;
    size_t size = 0;
  };
  std::vector<Block> blocks_;
  size_t used_ = 0;   // of the last block
  size_t total_ = 0;  // asked for since reset()
};

}  // namespace mxq
