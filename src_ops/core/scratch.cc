#include "scratch.h"

#include <cstdlib>
#include <new>

namespace mxq {
namespace {
constexpr size_t kAlign = 64;
}

void Scratch::Free::operator()(char* p) const { std::free(p); }

Scratch::Block Scratch::allocate(size_t bytes) {
  char* data = static_cast<char*>(std::aligned_alloc(kAlign, bytes));
  if (!data) throw std::bad_alloc();
  Block block;
  block.data.reset(data);
  block.size = bytes;
  return block;
}

void* Scratch::take(size_t bytes) {
  bytes = (bytes + kAlign - 1) / kAlign * kAlign;
  if (bytes == 0) bytes = kAlign;
  if (blocks_.empty() || used_ + bytes > blocks_.back().size) {
    blocks_.push_back(allocate(bytes));
    used_ = 0;
  }
  void* p = blocks_.back().data.get() + used_;
  used_ += bytes;
  total_ += bytes;
  return p;
}

void Scratch::reset() {
  if (total_ == 0) return;
  const size_t needed = total_;
  used_ = total_ = 0;
  if (blocks_.size() == 1 && needed <= kKeep) return;
  blocks_.clear();
  if (needed <= kKeep) blocks_.push_back(allocate(needed));
}

}  // namespace mxq
