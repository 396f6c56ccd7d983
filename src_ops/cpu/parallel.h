// Splits work among threads, where there is enough of it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <mutex>

#include "thread_pool.h"
#include "threads.h"

namespace mxq {

// Waking a thread costs about as much as touching this many bytes.
constexpr int64_t kBytesPerThread = 64 << 10;
// Taking a piece of work costs next to nothing beside touching this many.
constexpr int64_t kBytesPerPiece = 32 << 10;

// Calls body(begin, end) for parts of [0, items), each item of `bytes_per_item` memory traffic. An exception of the
// body reaches the caller.
template <class Body>
void parallel_for(int64_t items, int64_t bytes_per_item, const Body& body) {
  bytes_per_item = std::max<int64_t>(bytes_per_item, 1);
  const int64_t useful = std::min(items, items * bytes_per_item / kBytesPerThread);
  const int threads = useful > 1 ? static_cast<int>(std::min<int64_t>(threads_here(), useful)) : 1;
  if (threads == 1) {
    body(int64_t{0}, items);
    return;
  }
  struct Call {
    const Body& body;
    mutable std::mutex mutex;
    mutable std::exception_ptr error;
  } call{body, {}, {}};
  Work work;
  work.body = &call;
  work.items = items;
  work.piece = (kBytesPerPiece + bytes_per_item - 1) / bytes_per_item;
  work.threads = threads;
  work.run = [](const void* data, int64_t begin, int64_t end) {
    const auto& of = *static_cast<const Call*>(data);
    try {
      of.body(begin, end);
    } catch (...) {
      std::lock_guard<std::mutex> lock(of.mutex);
      if (!of.error) of.error = std::current_exception();
    }
  };
  run_on_threads(work);
  if (call.error) std::rethrow_exception(call.error);
}

}  // namespace mxq
