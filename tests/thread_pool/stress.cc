// Several callers share threads, with work of all sizes, work within work, and exceptions. Arguments: threads, calls.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <vector>

#include "cpu/parallel.h"

namespace {

constexpr int64_t kFails = 7;  // items of work that throws

// Whether every item was done once, and what it throws arrived.
bool call(int64_t items) {
  constexpr int64_t kLarge = 1 << 20;  // bytes: enough for a thread
  std::vector<int> done(items, 0);
  try {
    mxq::parallel_for(items, kLarge, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        mxq::parallel_for(4, kLarge, [&](int64_t first, int64_t last) { done[i] += static_cast<int>(last - first); });
        if (items == kFails && i == 3) throw std::runtime_error("3");
      }
    });
  } catch (const std::runtime_error&) {
    return items == kFails;
  }
  for (const int times : done) {
    if (times != 4) return false;
  }
  return items != kFails;
}

}  // namespace

int main(int, char** argv) {
  mxq::set_operator_threads(std::atoi(argv[1]));
  const int calls = std::atoi(argv[2]);
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (unsigned seed = 1; seed <= 4; ++seed) {
    callers.emplace_back([&wrong, calls, seed] {
      unsigned random = seed;
      for (int i = 0; i < calls; ++i) {
        random = random * 1664525u + 1013904223u;
        wrong += !call(2 + (random >> 20) % 300);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  std::printf("%d wrong\n", wrong.load());
  return wrong != 0;
}
