// Times of single operators, while somebody asks for them: mxq_profile_start() and mxq_profile_stop() below.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "tensor.h"

namespace mxq {

// What ran.
struct ProfileEntry {
  std::string name, op, implementation;
  TensorType out;
  int64_t macs;
};

extern std::atomic<bool> profiling;
void record(const std::string& owner, const ProfileEntry& entry, double microseconds);

// The clock of one call. Costs a test of a flag where nobody asks.
class Profile {
 public:
  // `owner`: the region, or empty.
  explicit Profile(std::string owner) : owner_(std::move(owner)), on_(profiling.load(std::memory_order_relaxed)) {}
  void start() {
    if (on_) began_ = std::chrono::steady_clock::now();
  }
  // describe() returns the ProfileEntry of what ran since start().
  template <class Describe>
  void stop(Describe describe) {
    if (!on_) return;
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - began_;
    record(owner_, describe(), time.count());
  }

 private:
  const std::string owner_;
  const bool on_;
  std::chrono::steady_clock::time_point began_;
};

}  // namespace mxq
