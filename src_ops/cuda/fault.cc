#include "fault.h"

#include <mutex>
#include <sstream>

namespace mxq {
namespace cuda {
namespace {

std::mutex mutex;

Fault* host_fault() {
  static Fault* const found = [] {
    void* p = nullptr;
    check(cudaHostAlloc(&p, sizeof(Fault), cudaHostAllocMapped | cudaHostAllocPortable), "allocating pinned memory");
    auto* fault = static_cast<Fault*>(p);
    *fault = Fault{0, 0, 0, 0.0f};
    return fault;
  }();
  return found;
}

const char* text_of(Found what) {
  switch (what) {
    case Found::kWeightScale:
      return "expected a finite number above 0";
    case Found::kMultiplier:
      return "in_scale * weight_scale / out_scale gives a multiplier that float32 cannot hold; check the scales";
    case Found::kNotFinite:
      return "a range found at run time needs finite values (or calibrate)";
    case Found::kRangeOfSums:
      return "sums without a zero point need in_type=int8";
    case Found::kNothing:
      break;
  }
  return "";
}

}  // namespace

Fault* fault() {
  void* p = nullptr;
  check(cudaHostGetDevicePointer(&p, host_fault(), 0), "addressing pinned memory");
  return static_cast<Fault*>(p);
}

std::string take_fault() {
  volatile Fault* found = host_fault();
  if (!found->what) return "";
  std::lock_guard<std::mutex> lock(mutex);
  const auto what = static_cast<Found>(found->what);
  if (what == Found::kNothing) return "";
  std::ostringstream text;
  const char* at = what == Found::kWeightScale || what == Found::kMultiplier ? "weight_scale[" : "data holds ";
  text << "found on the GPU by an earlier operator, whose output is not valid: ";
  if (what == Found::kWeightScale || what == Found::kMultiplier) {
    text << at << found->at << "] = " << found->value << "; ";
  } else if (what == Found::kNotFinite) {
    text << at << found->value << " at position " << found->at << "; ";
  } else {
    text << "the range of x needs the zero point " << found->at << "; ";
  }
  text << text_of(what);
  found->what = 0;
  found->claimed = 0;
  return text.str();
}

}  // namespace cuda
}  // namespace mxq
