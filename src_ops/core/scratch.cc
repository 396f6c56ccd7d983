#include "scratch.h"

#include "huge_pages.h"

namespace mxq {
namespace {
constexpr size_t kAlign = 64;
}

void* Scratch::take(size_t bytes) {
  bytes = (bytes + kAlign - 1) / kAlign * kAlign;
  if (bytes == 0) bytes = kAlign;
  if (blocks_.empty() || used_ + bytes > blocks_.back().size) {
    blocks_.push_back({allocate_pages(bytes), bytes});
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
  if (needed <= kKeep) blocks_.push_back({allocate_pages(needed), needed});
}

}  // namespace mxq
