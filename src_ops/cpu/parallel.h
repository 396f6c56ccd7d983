// Splits work among OpenMP threads, where there is enough of it.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <mutex>

namespace mxq {

// Waking a thread costs about as much as touching this many bytes.
constexpr int64_t kBytesPerThread = 64 << 10;

// Calls body(begin, end) for parts of [0, items), each item of `bytes_per_item` memory traffic. An exception of the
// body reaches the caller (out of an OpenMP region it would end the process).
template <class Body>
void parallel_for(int64_t items, int64_t bytes_per_item, Body body) {
  const int64_t useful = items * std::max<int64_t>(bytes_per_item, 1) / kBytesPerThread;
  const int threads = static_cast<int>(
      std::max<int64_t>(1, std::min<int64_t>({static_cast<int64_t>(omp_get_max_threads()), useful, items})));
  if (threads == 1 || omp_in_parallel()) {
    body(int64_t{0}, items);
    return;
  }
  std::exception_ptr error;
  std::mutex mutex;
#pragma omp parallel num_threads(threads)
  {
    const int64_t t = omp_get_thread_num(), n = omp_get_num_threads();
    try {
      body(items * t / n, items * (t + 1) / n);
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex);
      if (!error) error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

// While it lives, what asks for threads in this thread gets one. No parallel region does that: a host binds kernels in
// one thread and runs them in another, and a second team makes OpenMP put waiting threads to sleep.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  const int before_;
};

}  // namespace mxq
