#include "huge_pages.h"

#include <sys/mman.h>

#include <cstdlib>
#include <mutex>
#include <new>

namespace mxq {
namespace {

constexpr size_t kLine = 64, kHugePage = size_t{2} << 20, kBlock = size_t{8} << 20;

size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

std::shared_ptr<char> allocate_pages(size_t bytes) {
  const bool huge = bytes >= kHugePage / 2;
  const size_t align = huge ? kHugePage : kLine, size = rounded(bytes ? bytes : 1, align);
  char* data = static_cast<char*>(std::aligned_alloc(align, size));
  if (!data) throw std::bad_alloc();
  if (huge) madvise(data, size, MADV_HUGEPAGE);  // a wish: without it everything works as well
  return std::shared_ptr<char>(data, std::free);
}

std::shared_ptr<char> allocate_shared(size_t bytes) {
  if (bytes >= kBlock / 2) return allocate_pages(bytes);
  static auto* mutex = new std::mutex;  // never destroyed: threads may run while the process exits
  static auto* block = new std::weak_ptr<char>;
  static size_t used = 0;
  bytes = rounded(bytes, kLine);
  std::lock_guard<std::mutex> lock(*mutex);
  std::shared_ptr<char> current = block->lock();
  if (!current || used + bytes > kBlock) {
    current = allocate_pages(kBlock);
    *block = current;
    used = 0;
  }
  std::shared_ptr<char> part(current, current.get() + used);
  used += bytes;
  return part;
}

}  // namespace mxq
