#include "fault.h"

#include <map>
#include <mutex>
#include <sstream>
#include <vector>

namespace mxq {
namespace cuda {
namespace {

std::mutex mutex;

Fault* host_fault() {
  static Fault* const found = [] {
    void* p = nullptr;
    check(cudaHostAlloc(&p, sizeof(Fault), cudaHostAllocMapped | cudaHostAllocPortable), "allocating pinned memory");
    auto* fault = static_cast<Fault*>(p);
    *fault = Fault{0, 0, 0, 0, 0.0f};
    return fault;
  }();
  return found;
}

// Labels of nodes whose kernels may report, by number.
struct Labels {
  std::map<std::string, int> numbers;
  std::vector<std::string> texts;
};

Labels& labels() {
  static auto* found = new Labels;
  return *found;
}

std::string text_of(const volatile Fault& fault) {
  std::ostringstream text;
  switch (static_cast<Found>(fault.what)) {
    case Found::kWeightScale:
      text << "weight_scale[" << fault.at << "] = " << fault.value << "; expected a finite number above 0";
      break;
    case Found::kMultiplier:
      text << "in_scale * weight_scale / out_scale gives a multiplier that float32 cannot hold for weight_scale["
           << fault.at << "] = " << fault.value << "; check the scales";
      break;
    case Found::kScale:
    case Found::kShift:
      text << (static_cast<Found>(fault.what) == Found::kScale ? "scale[" : "shift[") << fault.at
           << "] = " << fault.value << " gives no finite float32 in units of the output";
      break;
    case Found::kSlope:
      text << "slope[" << fault.at << "] = " << fault.value << "; expected a finite number";
      break;
    case Found::kNotFinite:
      text << "a value is " << fault.value << " at position " << fault.at
           << "; a range found at run time needs finite values (or calibrate)";
      break;
    case Found::kRangeOfSums:
      text << "the range of x needs the zero point " << fault.at << "; sums without a zero point need in_type=int8";
      break;
    case Found::kRange:
      text << "a range has the end " << fault.value << ": both ends must be finite and in order";
      break;
    case Found::kNothing:
      break;
  }
  return text.str();
}

}  // namespace

FaultSink fault_of(const RunContext& context) {
  void* p = nullptr;
  check(cudaHostGetDevicePointer(&p, host_fault(), 0), "addressing pinned memory");
  std::lock_guard<std::mutex> lock(mutex);
  Labels& all = labels();
  const auto added = all.numbers.emplace(context.label, static_cast<int>(all.texts.size()));
  if (added.second) all.texts.push_back(context.label);
  return {static_cast<Fault*>(p), added.first->second};
}

std::string take_fault() {
  volatile Fault* found = host_fault();
  if (!found->what) return "";
  std::lock_guard<std::mutex> lock(mutex);
  if (!found->what) return "";
  std::string text = labels().texts[found->who] + ": " + text_of(*found);
  text += " (found on the GPU by an earlier call, whose output is not valid)";
  found->what = 0;
  found->claimed = 0;
  return text;
}

}  // namespace cuda
}  // namespace mxq
